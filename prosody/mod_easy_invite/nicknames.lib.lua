-- The nickname that a user has published for contacts to read: of the account (XEP-0172), else of
-- its vCard (XEP-0292, XEP-0054).

local modulemanager = require "core.modulemanager";
local cache = require "util.cache";
local now = require "util.time".monotonic;
local st = require "util.stanza";

local longest = 200; -- bytes: 50 characters, and the daemon looks again
local vcards = module:open_store("vcard");

-- One line, without what nobody sees.
local function cleaned(text)
	text = text or "";
	if #text > longest then -- the last character may be cut
		text = text:sub(1, longest):gsub("[\192-\255]?[\128-\191]*$", "");
	end
	text = text:gsub("%c", " "):gsub("\226\128[\142\143\168-\174]", ""):gsub("\226\129[\166-\169]", "")
		:gsub("\216\156", ""):match("^%s*(.-)%s*$");
	return text ~= "" and text or nil;
end

-- What is in the last item of a node that contacts may read.
local function published(service, node)
	local ok, config = service:get_node_config(node, true);
	if not ok or config.access_model ~= "open" and config.access_model ~= "presence" then return; end
	local _, _, item = service:get_last_item(node, true);
	return item and item.tags[1];
end

local function find(username)
	local pep = modulemanager.get_module(module.host, "pep");
	local service = pep and pep.get_pep_service and pep.get_pep_service(username);
	local nick = service and published(service, "http://jabber.org/protocol/nick");
	local name = cleaned(nick and nick:get_text());
	if name then return name; end
	local vcard4 = service and published(service, "urn:xmpp:vcard4");
	if vcard4 then
		local function text_of(field) return cleaned(vcard4:find(field.."/text#")); end
		return text_of("nickname") or text_of("fn");
	end
	local vcard = st.deserialize(vcards:get(username));
	return vcard and (cleaned(vcard:get_child_text("NICKNAME")) or cleaned(vcard:get_child_text("FN")));
end

-- Finding it reads several files. What a user sends may change it. So may other modules: it is
-- looked for again within a minute.
local known, good_for = cache.new(1000), 60; -- [username] = the nickname, and when it was found; seconds
module:hook("iq/bare", function (event)
	if event.stanza.attr.type == "set" and event.origin.username then known:set(event.origin.username, nil); end
end, 100);
module:hook_global("user-deleted", function (event)
	if event.host == module.host then known:set(event.username, nil); end
end);

-- Nobody waits for a nickname, and nothing fails for want of one.
return function (username)
	local before = known:get(username);
	if before and now() - before.at < good_for then return before.nickname; end
	local ok, found = pcall(find, username);
	if not ok then module:log("debug", "The nickname of %s cannot be read: %s", username, found); end
	known:set(username, { nickname = ok and found or nil, at = now() });
	return ok and found or nil;
end;
