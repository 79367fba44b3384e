-- The names of hosts. Clients and the daemon use one form of each name; an operator may write
-- others.

local encodings = require "util.encodings";
local nameprep, idna = encodings.stringprep.nameprep, encodings.idna;

local function decoded(label) -- "münchen" for "xn--mnchen-3ya"; nil or false to keep the label
	local in_unicode = nameprep(idna.to_unicode(label) or label, true);
	return in_unicode and idna.to_ascii(in_unicode) == label and in_unicode;
end

-- Returns the name as clients and the daemon write it (RFC 7622 §3.2): in lower case, without a dot
-- at the end, and in Unicode. A label that nameprep would change or refuse in Unicode stays
-- "xn--…".
return function (name)
	local prepared = nameprep(name) or name;
	local in_dns = (idna.to_ascii(prepared) or prepared):gsub("%.$", "");
	return nameprep((in_dns:gsub("[^.]+", decoded)), true) or in_dns;
end;
