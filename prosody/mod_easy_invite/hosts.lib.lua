-- The names of hosts. This Prosody has one form of each, and an operator may write another.

local encodings = require "util.encodings";
local nameprep, idna = encodings.stringprep.nameprep, encodings.idna;

local function readable(label) -- of "xn--mnchen-3ya": "münchen"
	local in_unicode = nameprep(idna.to_unicode(label) or label, true);
	return in_unicode and idna.to_ascii(in_unicode) == label and in_unicode;
end

-- Returns the name as clients and the daemon write it (RFC 7622 §3.2): in lower case, without a dot
-- at the end, and in Unicode, except where nameprep makes another name of that, or none.
return function (name)
	local prepared = nameprep(name) or name;
	local in_dns = (idna.to_ascii(prepared) or prepared):gsub("%.$", "");
	return nameprep((in_dns:gsub("[^.]+", readable)), true) or in_dns;
end;
