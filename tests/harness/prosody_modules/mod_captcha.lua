-- Looks whether a human registers, and goes on later: from wherever the name says, in no coroutine.
-- `timer-carol` gives the stanza back from a timer. The others make the account themselves.

local http = require "net.http";
local st = require "util.stanza";
local timer = require "util.timer";
local usermanager = require "core.usermanager";

local passed = setmetatable({}, { __mode = "k" });
local delay = 0.05; -- seconds

local function make(session, stanza, username, password)
	local event = { username = username, password = password, host = module.host, ip = session.ip, session = session;
		additional = {}, allowed = true };
	module:fire_event("user-registering", event);
	local err = event.error or {};
	if not event.allowed then
		return session.send(st.error_reply(stanza, err.type or "modify", err.condition or "not-acceptable", err.text));
	elseif usermanager.user_exists(username, module.host) then
		return session.send(st.error_reply(stanza, "cancel", "conflict"));
	end
	assert(usermanager.create_user(username, password, module.host));
	session.send(st.reply(stanza));
	module:fire_event("user-registered", { username = username, host = module.host, session = session });
end

local ways = {
	timer = function (event)
		timer.add_task(delay, function () module:fire_event("stanza/iq/jabber:iq:register:query", event); end);
	end;
	direct = function (...)
		local all = table.pack(...);
		timer.add_task(delay, function () make(table.unpack(all, 2)); end);
	end;
	http = function (...)
		local all = table.pack(...);
		http.request(module:http_url("captcha"), nil, function () make(table.unpack(all, 2)); end);
	end;
	coroutine = function (...)
		local all = table.pack(...);
		timer.add_task(delay, function () coroutine.wrap(make)(table.unpack(all, 2)); end);
	end;
};

module:depends("http");
module:provides("http", { route = { GET = function () return "You seem human"; end } });
module:hook("stanza/iq/jabber:iq:register:query", function (event)
	local stanza = event.stanza;
	local query = stanza.tags[1];
	local username, password = query:get_child_text("username"), query:get_child_text("password");
	local way = username and ways[username:match("^(%w+)-")];
	if stanza.attr.type ~= "set" or not way or passed[stanza] then return; end
	passed[stanza] = true;
	way(event, event.origin, stanza, username, password);
	return true;
end, 10);
