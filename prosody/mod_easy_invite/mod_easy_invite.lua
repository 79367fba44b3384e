-- mod_easy_invite: registration and contacts by invitation, for Prosody 0.12 and 13. The daemon, an
-- external component, has the invites and decides. This module asks it, and does what only the
-- server can do. docs/gate.md describes the protocol between them, under the `headings` named
-- below.

if (prosody.process_type or "prosody") ~= "prosody" then -- prosodyctl loads this file too, for no host
	module.command = module:require "prosodyctl";
	return;
end

local configmanager = require "core.configmanager";
local modulemanager = require "core.modulemanager";
local array = require "util.array";
local async = require "util.async";
local ip = require "util.ip";
local jid = require "util.jid";
local st = require "util.stanza";
local timer = require "util.timer";
local uuid = require "util.uuid".generate;

local xmlns_pars = "urn:xmpp:pars:0";
local max_token_bytes = 2048; -- enough for a link that another program has wrapped into its own
local max_refusals, delays, max_delay = 10, { 0, 0, 0, 0.5, 1 }, 2; -- of tokens on one stream; seconds
local max_requests, max_requests_each = 64, 4; -- open contact requests: in all, and by one contact
local host = module.host;
local trusted_proxies = module:get_option_set("trusted_proxies", { "127.0.0.1", "::1" }); -- as in mod_http

---- Registration is closed unless this module guards it
-- mod_register_ibr registers everybody unless another module refuses. So this handler is added
-- before the module is complete, and directly to the host's events: it stays when the module is
-- unloaded.
local is_guarded = false;
local host_events = prosody.hosts[host].events;
local closed = { type = "wait", condition = "resource-constraint", text = "Registration is closed at the moment." };

local function refuse(event, err)
	event.allowed, event.error, event.reason = false, err, err.text;
end

local function has_successor() -- whether the module was loaded again
	local current = modulemanager.get_module(host, module.name);
	return current and current.module ~= module;
end

local function keep_closed(event)
	if has_successor() then
		host_events.remove_handler("user-registering", keep_closed);
	elseif not is_guarded then
		refuse(event, closed);
		return true;
	end
end

host_events.add_handler("user-registering", keep_closed, 1000);

---- While this module is not active, its answer to `hello` says why
-- If a module fails to load, Prosody keeps its handlers, and so this answer.
local see_log = "Prosody's log says why it did not load";
local why_inactive = see_log;

module:hook("iq-get/host/urn:easy-invite:gate:1:hello", function (event)
	if not why_inactive or has_successor() or event.origin.type ~= "component" then return; end
	local text = "mod_easy_invite is not active: "..why_inactive;
	event.origin.send(st.error_reply(event.stanza, "cancel", "not-acceptable", text));
	return true;
end, 1);

local function stay_inactive(...)
	why_inactive = string.format(...);
	(module.log_status or module.log)(module, "error", "Not active: %s", why_inactive);
end

-- Prosody 0.11 has no process_type.
if not prosody.process_type then return stay_inactive("it needs Prosody 0.12 or newer, not %s", prosody.version); end

local function require_part(name)
	why_inactive = ("its %s.lib.lua did not load, and Prosody's log says why. Where a file is missing, "
		.."easy-invite prosody-module --install puts all of them in place; then restart Prosody"):format(name);
	local part = module:require(name);
	why_inactive = see_log;
	return part;
end

local name_for_clients = require_part "hosts"(host);
if host ~= name_for_clients then
	return stay_inactive('clients and the daemon write this host differently: write VirtualHost "%s" instead of "%s"',
		name_for_clients, host);
end

local enabled = modulemanager.get_modules_for_host(host);
for _, rival in ipairs { "invites_adhoc", "invites_register" } do
	if enabled:contains(rival) or modulemanager.is_loaded(host, rival) then
		is_guarded = enabled:contains("invites_register"); -- then that module guards registration
		local disabled = array():append(configmanager.rawget(host, "modules_disabled") or {});
		disabled = disabled:append { "invites", "invites_adhoc", "invites_register" }:unique();
		return stay_inactive('mod_%s is enabled as well and does the same work. To keep the links that were sent, run '
			..'easy-invite import prosody. Then add to VirtualHost "%s": modules_disabled = { "%s" }',
			rival, host, disabled:concat('", "'));
	end
end

local is_allowed_without_us = enabled:contains("register_ibr")
	or enabled:contains("register") and module:get_option_boolean("allow_registration", false);

-- What may fail to load comes first.
module:depends("adhoc");
local about, gate, accounts = require_part "about", require_part "gate", require_part "accounts";
local rights, grants = require_part "rights", require_part "grants"(gate, accounts);
local nickname = require_part "nicknames";
local add_commands, answer_daemon = require_part "commands", require_part "daemon";

---- Where a client connects from
-- Returns nil if that is unknown: an address of a proxy is not the client's.
local function known_address(address)
	local parsed = address and ip.new_ip(address);
	for proxy in trusted_proxies:items() do
		if parsed and ip.match(parsed, ip.parse_cidr(proxy)) then return nil; end
	end
	return parsed and address;
end

---- `check`: a client presents a token
local streams = setmetatable({}, { __mode = "k" }); -- [session] = { grant, refusals, guard (one token at a time) }
local not_encrypted = gate.error("modify", "policy-violation", "Encryption is required");
local wrong_host = gate.error("cancel", "not-allowed", "This stream is not a stream to "..host);
local no_such_invite = gate.error("cancel", "item-not-found", "This invitation is not valid");

local function is_token(token) return token and token ~= "" and #token <= max_token_bytes; end

local function conclude_check(session, stream, stanza, answer, release)
	local invite, refusal, delay = gate.attr_of(answer, "invite"), answer.refusal, 0;
	stream.grant = invite and invite.grant or nil;
	if refusal and refusal.type ~= "wait" then
		stream.refusals = stream.refusals + 1;
		delay = delays[stream.refusals] or max_delay;
	end
	timer.add_task(delay, function ()
		if not session.destroyed and not session.notopen then -- it may have been closed during the delay
			session.send(stream.grant and st.reply(stanza) or gate.reply_to(stanza, answer));
			local is_barred = refusal and refusal.condition == "policy-violation"; -- because of other streams, too
			if session.type == "c2s_unauthed" and (is_barred or stream.refusals >= max_refusals) then
				session:close({ condition = "policy-violation", text = "Too many invitations that are not valid" });
			end
		end
		release();
	end);
end

module:hook("stream-features", function (event)
	local session, features = event.origin, event.features;
	if session.type == "c2s_unauthed" and (session.secure or not about.require_encryption) then
		features:tag("register", { xmlns = "urn:xmpp:invite" }):up(); -- older clients look for this one only
		features:tag("register", { xmlns = "urn:xmpp:ibr-token:0" }):up();
	end
end);

local function present(event)
	local session, stanza = event.origin, event.stanza;
	if session.type ~= "c2s_unauthed" or stanza.attr.type ~= "set" then return; end
	local problem = about.require_encryption and not session.secure and not_encrypted
		or session.host ~= host and wrong_host; -- a client can address another host than its stream's
	if problem then
		session.send(st.error_reply(stanza, problem));
		return true;
	end
	local stream = streams[session] or { refusals = 0, guard = async.guarder() };
	streams[session] = stream;
	local release = stream.guard(); -- waits until the token before this one is answered
	local token = stanza.tags[1].attr.token;
	if session.destroyed or stream.refusals >= max_refusals then -- it was closed meanwhile
		release();
	elseif is_token(token) then
		local question = gate.element("check", { token = token, address = known_address(session.ip),
			lang = stanza.attr["xml:lang"] });
		gate.ask("get", question, function (answer) conclude_check(session, stream, stanza, answer, release); end);
	else
		conclude_check(session, stream, stanza, { refusal = no_such_invite }, release);
	end
	return true;
end

module:hook("stanza/iq/"..xmlns_pars..":preauth", function (event)
	return gate.run(function () return present(event); end);
end);

---- `instructions`: returns a text for the client, or nil if the daemon has none or does not answer
local function ask_instructions(attr)
	local answer = gate.ask_and_wait("get", gate.element("instructions", attr));
	return gate.attr_of(answer, "instructions") and answer.payload:get_text();
end

---- `reserve` and `fate`: somebody registers
local registrations = setmetatable({}, { __mode = "k" }); -- [session] = { name, username, purpose, granted, password }
local in_band = setmetatable({}, { __mode = "k" }); -- [session] = { lang, done } while it registers with XEP-0077
local not_now = gate.error("wait", "internal-server-error", "The server cannot do this now. Please try again later.");

local function ask_and_wait(question, event, attr)
	local session = event.session or {}; -- modules that register people otherwise may have none
	attr.grant = streams[session] and streams[session].grant;
	attr.address = known_address(event.ip or session.ip);
	attr.lang = in_band[session] and in_band[session].lang;
	local element = gate.element(question, attr);
	if question == "reserve" and event.password then element:text_tag("password", event.password); end
	return gate.ask_and_wait("set", element);
end

-- mod_register_ibr resets a password by making the account again, which enables it and resets its
-- age. So this sets the password itself, and stops mod_register_ibr with an error.
local password_set = {};
local function reset(event)
	local is_stored, is_never = accounts.store(event);
	if not is_stored then return refuse(event, is_never and gate.never or not_now); end
	module:fire_event("user-password-reset", event);
	error(password_set, 0);
end

local function reserve(event)
	local session, username = event.session or {}, event.username;
	local exists = accounts.exists(username);
	local is_known, _, roles = pcall(accounts.roles, username);
	if exists == nil or not is_known then return refuse(event, not_now); end
	local name = uuid();
	gate.begin(name);
	local answer = ask_and_wait("reserve", event, { reservation = name, server = gate.server_id, username = username;
		exists = tostring(exists), admin = rights.names_admin(username, roles) and "true" or nil });
	local is_open = gate.attr_of(answer, "open");
	local purpose, granted = is_open and "register" or (gate.attr_of(answer, "reserved") or {}).purpose, answer.payload;
	-- Meanwhile `settle` may have answered "not-made", and the client may have gone. So may the
	-- account whose password is to be reset: then mod_register_ibr would make one.
	local is_current = not gate.is_closed and gate.fate(name) == "in-flight" and not session.destroyed;
	local is_never = purpose and accounts.never(purpose);
	is_current = is_current and not is_never;
	if is_open or answer.refusal then gate.finish(name); end
	if answer.refusal then return refuse(event, answer.refusal); end
	if is_current and purpose == "reset" and accounts.exists(username) then
		event.allow_reset = username;
	elseif is_current and purpose == "register" and accounts.begin(username, not in_band[session]) then
		grants.choose_role(event, granted);
	else -- without an answer, there may be a reservation all the same, which `settle` ends
		if not is_open then gate.finish(name, not answer.is_unsent and "not-made" or nil, purpose); end
		local is_taken = is_current and purpose == "register" and accounts.exists(username);
		return refuse(event, is_never and gate.never or is_taken and gate.username_taken
			or answer.stanza and not gate.is_closed and not_now or gate.unavailable);
	end
	registrations[session] = { name = not is_open and name, username = username, purpose = purpose, granted = granted;
		password = event.password };
	if purpose == "reset" and in_band[session] then reset(event); end
end

-- A wrapper, since this must come last, even if another handler ends the event.
module:wrap_event("user-registering", function (handlers, name, event)
	local result = handlers(name, event);
	local session = event.session or {};
	if event.is_by_daemon then return result; end
	if streams[session] and async.ready() then streams[session].guard()(); end -- waits until its token is checked
	if session.host and session.host ~= host then
		refuse(event, wrong_host);
	elseif session.destroyed then
		refuse(event, gate.unavailable);
	elseif event.allowed ~= false and event.password then
		local ok, text = accounts.check_password(event.username, event.password);
		if not ok then refuse(event, gate.error("modify", "policy-violation", text)); end
	end
	if event.allowed ~= false then
		reserve(event);
	elseif (event.error or {}).type ~= "wait" and event.error_type ~= "wait" then
		local answer = ask_and_wait("refused", event, {}); -- the daemon counts it
		if answer.refusal and answer.refusal.type == "wait" then
			refuse(event, answer.refusal);
		elseif answer.stanza and in_band[session] and not event.error and not event.reason then -- mod_tombstones, say
			event.reason = ask_instructions({ username = event.username, lang = in_band[session].lang });
		end
	end
	return result;
end);

local function succeed(event, purpose)
	local session, username = event.session or {}, event.username;
	local registration = registrations[session];
	if purpose == "register" then accounts.made(username); end
	if streams[session] then streams[session].grant = nil; end -- it was for this account alone
	if in_band[session] then in_band[session].done = purpose; end
	if purpose == "reset" and not event.is_by_daemon and not in_band[session] then -- ends the sessions
		prosody.events.fire_event("user-password-changed", { username = username, host = host });
	end
	if not registration or registration.username ~= username or registration.purpose ~= purpose then return; end
	registrations[session] = nil;
	local name, failed = registration.name, {};
	if not name then return; end
	if purpose == "register" then failed = grants.give(name, username, registration.granted, gate.pause); end
	gate.finish(name, failed and "made" or "unfinished", true, failed);
end

-- Wrappers, since no other handler may prevent this.
for event_name, purpose in pairs { ["user-registered"] = "register", ["user-password-reset"] = "reset" } do
	module:wrap_event(event_name, function (handlers, name, event)
		succeed(event, purpose);
		return handlers(name, event);
	end);
end

local function is_registering(username)
	for _, registration in pairs(registrations) do
		if registration.username == username then return true; end
	end
	return false;
end

-- Clients without support for invites show the form first. Its instructions say that an invite is
-- needed; otherwise, only the refusal would.
local function with_instructions(reply, text)
	reply = st.clone(reply); -- mod_register_ibr keeps the original
	local query = reply:get_child("query", "jabber:iq:register");
	local form = query and query:get_child("x", "jabber:x:data");
	for _, part in ipairs { query, form } do
		local instructions = part:get_child("instructions");
		if instructions then table.insert(instructions, 1, text.."\n"); end
	end
	return reply;
end

local function show_form(handlers, name, event)
	local session, stanza = event.origin, event.stanza;
	if streams[session] then streams[session].guard()(); end -- waits until its token is checked
	if streams[session] and streams[session].grant then return handlers(name, event); end
	local text = ask_instructions({ lang = stanza.attr["xml:lang"] });
	if not text then return handlers(name, event); end
	local origin = { send = function (reply) return session.send(with_instructions(reply, text)); end };
	setmetatable(origin, { __index = session, __newindex = session });
	return handlers(name, { stanza = stanza, origin = origin });
end

-- If mod_register_ibr has returned, or a module has raised an error, and the registration is still
-- in the table, then it has failed.
local function register(handlers, name, event)
	local session, stanza = event.origin, event.stanza;
	if stanza.attr.type ~= "set" then return show_form(handlers, name, event); end
	local missing = streams[session] and streams[session].grant and accounts.missing_in(stanza.tags[1]);
	-- Many apps with support for invites send only a username and a password, whatever the form
	-- asks.
	local text = missing and ask_instructions({ missing = missing, lang = stanza.attr["xml:lang"] });
	if text then
		session.send(st.error_reply(stanza, "modify", "not-acceptable", text));
		return true;
	end
	local attempt = { lang = stanza.attr["xml:lang"] };
	in_band[session] = attempt;
	local result, problem = gate.call(function () return handlers(name, event); end);
	local registration = registrations[session];
	registrations[session], in_band[session] = nil, nil;
	if registration then
		local is_reset = registration.purpose == "reset";
		local is_nothing_left = is_reset and not problem
			or not is_reset and accounts.failed(registration.username, registration.password);
		if registration.name then gate.finish(registration.name, is_nothing_left and "not-made" or nil, true); end
	end
	if not problem then return result; end
	if problem ~= password_set then module:log("error", "A registration failed: %s", problem); end
	if attempt.done ~= "register" then -- otherwise mod_register_ibr has answered the client
		session.send(attempt.done and st.reply(stanza) or st.error_reply(stanza, not_now));
	end
	return true;
end

module:wrap_event("stanza/iq/jabber:iq:register:query", function (handlers, name, event)
	if event.origin.type ~= "c2s_unauthed" then return handlers(name, event); end
	return gate.run(function () return register(handlers, name, event); end);
end);

---- `contact`: somebody wants to become a contact
local asked_about = setmetatable({}, { __mode = "k" }); -- [presence] = true
local requests, requests_of = 0, {}; -- open ones: in all, and [contact]

module:hook("presence/bare", function (event)
	local origin, stanza = event.origin, event.stanza;
	local preauth = stanza.attr.to and stanza.attr.type == "subscribe" and stanza:get_child("preauth", xmlns_pars);
	if not preauth or asked_about[stanza] then return; end
	local token, username, contact = preauth.attr.token, jid.node(stanza.attr.to), jid.bare(stanza.attr.from);
	local open = requests_of[contact] or 0;
	if not is_token(token) or not accounts.exists(username) or grants.are_contacts(username, contact)
	or requests >= max_requests or open >= max_requests_each then
		return; -- the user is asked, as without a token
	end
	local presence = st.clone(stanza); -- mod_presence changes the original afterwards
	asked_about[presence] = true;
	local name = uuid();
	gate.begin(name);
	requests, requests_of[contact] = requests + 1, open + 1;
	gate.ask("set", gate.element("contact", { reservation = name, server = gate.server_id, token = token;
		username = username, contact = contact }), function (answer)
		requests, requests_of[contact] = requests - 1, requests_of[contact] > 1 and requests_of[contact] - 1 or nil;
		local reserved = gate.attr_of(answer, "reserved");
		local sender = not origin.destroyed and origin or nil;
		if not reserved or grants.are_contacts(username, contact) then -- by registering meanwhile, perhaps
			gate.finish(name, not answer.refusal and not answer.is_unsent and "not-made" or nil, reserved);
			return module:send(presence, sender); -- the user is asked. The token may be from the user's own client
		end
		local failed = grants.approve(name, username, contact, presence, sender);
		gate.finish(name, failed and "made" or "unfinished", true, failed);
	end);
	return true;
end, 1); -- after mod_blocklist, before mod_presence

---- The rest of docs/gate.md, and unloading
add_commands(gate);
answer_daemon(gate, about, accounts, grants, rights, nickname, is_registering);
function module.unload()
	is_guarded = false;
	gate.close();
	if module.reloading then return; end
	module:log("warn", "Registration stays closed until this module is loaded again, or Prosody starts without it");
	timer.add_task(0, function () -- when this module no longer depends on mod_register_ibr
		if is_allowed_without_us or modulemanager.is_loaded(host, module.name) then return; end
		modulemanager.unload(host, "register_ibr");
	end);
end

module:depends("register_ibr"); -- last, when everything that guards it is in place
is_guarded, why_inactive = true, nil;
