-- The nickname that a user has published for contacts: that of the account (XEP-0172), otherwise
-- that in its vCard (XEP-0292, XEP-0054).

local modulemanager = require "core.modulemanager";
local cache = require "util.cache";
local now = require "util.time".monotonic;
local st = require "util.stanza";

local max_bytes = 200; -- at least 50 characters, which the daemon shows
local vcards = module:open_store("vcard");

-- Returns the beginning of the text, without control characters, or nil if it is blank. The daemon
-- removes what else should not be shown.
local function cleaned(text)
	text = text or "";
	if #text > max_bytes then -- without the last character, which may be cut
		text = text:sub(1, max_bytes):gsub("[\192-\255]?[\128-\191]*$", "");
	end
	return text:gsub("%c", " "):match("^%s*(.*%S)");
end

-- Returns the payload of a node's last item, if contacts may read it.
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

-- Finding it reads several files, so it is cached: until the user sends a stanza that may change
-- it, or for a minute, since other modules may change it as well.
local known, max_age = cache.new(1000), 60; -- [username] = { nickname, at }; seconds
module:hook("iq/bare", function (event)
	if event.stanza.attr.type == "set" and event.origin.username then known:set(event.origin.username, nil); end
end, 100);
module:hook_global("user-deleted", function (event)
	if event.host == module.host then known:set(event.username, nil); end
end);

-- Returns the nickname, or nil. An error is no reason to fail: a nickname is optional.
return function (username)
	local cached = known:get(username);
	if cached and now() - cached.at < max_age then return cached.nickname; end
	local ok, found = pcall(find, username);
	if not ok then module:log("debug", "The nickname of %s cannot be read: %s", username, found); end
	local nickname = ok and found or nil;
	known:set(username, { nickname = nickname, at = now() });
	return nickname;
end;
