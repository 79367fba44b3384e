-- mod_easy_invite: registration and contacts by invitation, for Prosody 0.12 and 13.
--
-- The easy-invite daemon, an external component of this server, keeps the invites and decides. This module asks it when
-- it matters, and does what only the server can do. They talk as docs/gate.md says; "§" below is a section of it.

if prosody.process_type ~= "prosody" then -- prosodyctl loads this file too, for no host
	module.command = module:require "prosodyctl";
	return;
end

local modulemanager = require "core.modulemanager";
local async = require "util.async";
local cache = require "util.cache";
local errors = require "util.error";
local ip_address = require "util.ip".new_ip;
local jid = require "util.jid";
local st = require "util.stanza";
local timer = require "util.timer";
local now = require "util.time".monotonic; -- nobody can set this clock

local xmlns_pars = "urn:xmpp:pars:0";

local longest_token = 128; -- bytes: nothing longer is worth a question
local refusals_at_once, most_refusals = 3, 10; -- of tokens on one stream: more are guesses
local longest_delay = 2; -- seconds: of the answer to a guess
local seen_within = 1; -- seconds: for as long, an inviter who was there is taken to be there
local most_requests, most_requests_each = 64, 4; -- open requests to become a contact: in all, and by one contact

local host = module.host;
local require_encryption = module:get_option_boolean("c2s_require_encryption",
	module:get_option_boolean("require_encryption", true));

---- Registration is closed unless this module guards it

-- mod_register_ibr lets everybody register whom no other module refuses. So this handler is there before the module is
-- complete, and outlives it: it is added to the host's events by itself.
local is_guarded, is_unloaded = false, false;
local host_events = prosody.hosts[host].events;
local unavailable = { type = "wait", condition = "resource-constraint",
	text = "Invitations cannot be checked at the moment. Please try again later." };

local function refuse(event, err)
	event.allowed, event.error = false, errors.new(err);
	event.error_type, event.error_condition, event.reason = err.type, err.condition, err.text;
end

local function keep_closed(event)
	local current = modulemanager.get_module(host, module.name);
	if current and current.module ~= module then -- the module was loaded again
		host_events.remove_handler("user-registering", keep_closed);
	elseif not is_guarded and not (is_unloaded and not modulemanager.is_loaded(host, "register_ibr")) then
		refuse(event, unavailable);
		return true;
	end
end

host_events.add_handler("user-registering", keep_closed, 1000);

local enabled = modulemanager.get_modules_for_host(host);
for _, rival in ipairs { "invites_adhoc", "invites_register" } do
	if enabled:contains(rival) or modulemanager.is_loaded(host, rival) then
		module:log_status("error", "Not active, since mod_%s is enabled as well and does the same work its own way. Add to "
			.."VirtualHost \"%s\": modules_disabled = { \"invites_adhoc\", \"invites_register\" }", rival, host);
		is_guarded = enabled:contains("invites_register"); -- which guards registration itself
		return;
	end
end

local was_open = enabled:contains("register_ibr") -- whether clients could register without this module
	or enabled:contains("register") and module:get_option_boolean("allow_registration", false);

local gate = module:require "gate";
local accounts = module:require "accounts";
local note_deletion = module:require "daemon" (gate, accounts); -- what the daemon asks, and § 7
module:require "commands" (gate, accounts); -- § 5 and § 6

-- As the daemon counts addresses: one way to write each. Nothing for what is no address, as a proxy may pass it on.
local function normal_address(ip)
	local address = ip and ip_address(ip);
	return address and (address.normal:match("^::ffff:([%d.]+)$") or address.normal);
end

---- A client presents a token (§ 1)

-- [session] = { token, presented_at, refusals; is_checking: a token is; line: what waits for that }
local streams = setmetatable({}, { __mode = "k" });

local seen = cache.new(1000); -- [inviter] = when they were there
local no_such_invite = { refusal = { type = "cancel", condition = "item-not-found";
	text = "This invitation is not valid" } };

-- Prosody 0.12 does not hear of `prosodyctl deluser`. It reads a file for each look.
local function inviter_is_gone(inviter)
	local username = jid.node(inviter);
	if jid.host(inviter) ~= host or now() - (seen:get(inviter) or -seen_within) < seen_within then
		return false;
	end
	local exists = accounts.exists(username);
	seen:set(inviter, exists and now() or nil);
	if exists == false then note_deletion(username); end
	return exists == false;
end

local function is_token(token)
	return token and token ~= "" and #token <= longest_token;
end

-- 0, 0, 0, 0.5, 1, 2, 2, ... seconds: guessing becomes slow.
local function delay_of(refusals)
	return refusals > refusals_at_once and math.min(2 ^ (refusals - refusals_at_once - 2), longest_delay) or 0;
end

-- What a stream sends after a token waits until that is checked. Returns false where the caller cannot wait.
local function wait_for_check(stream)
	while stream.is_checking do
		if not async.ready() then
			return false;
		end
		local wait, done = async.waiter();
		stream.line = stream.line or {};
		table.insert(stream.line, done);
		wait();
	end
	return true;
end

local function answer_client(session, stream, reply, refusal)
	if session.destroyed or session.notopen then
		return; -- what the client sent after the token has ended the stream, or begun it anew
	end
	session.send(reply);
	local is_barred = refusal and refusal.condition == "policy-violation"; -- for what came by other streams
	if session.type == "c2s_unauthed" and (is_barred or stream.refusals >= most_refusals) then
		session:close({ condition = "policy-violation", text = "Too many invitations that are not valid" });
	end
end

local function conclude_check(session, stanza, answer)
	local stream = streams[session];
	local invite = gate.says(answer, "invite") and answer.payload.attr;
	if invite and invite.inviter then
		local could_look, is_gone = pcall(inviter_is_gone, invite.inviter);
		if not could_look then
			module:log("error", "Could not look for %s: %s", invite.inviter, is_gone);
			invite, answer = nil, {};
		elseif is_gone then
			invite, answer = nil, no_such_invite;
		end
	end
	local refusal = not invite and answer.refusal or nil;
	local reply = invite and st.reply(stanza) or gate.error_reply(stanza, answer);
	if invite then stream.token, stream.presented_at = stanza.tags[1].attr.token, invite["checked-at"]; end
	local is_refused = refusal and refusal.type ~= "wait";
	if is_refused then stream.refusals = stream.refusals + 1; end
	local function conclude()
		local ok, err = pcall(answer_client, session, stream, reply, refusal);
		if not ok then module:log("error", "Could not answer about a token: %s", err); end
		local line = stream.line or {};
		stream.is_checking, stream.line = nil, nil;
		for _, go_on in ipairs(line) do go_on(); end
	end
	local delay = is_refused and delay_of(stream.refusals) or 0;
	if delay > 0 then timer.add_task(delay, conclude); else conclude(); end
end

module:hook("stream-features", function (event)
	local session, features = event.origin, event.features;
	if session.type == "c2s_unauthed" and (session.secure or not require_encryption) then
		features:tag("register", { xmlns = "urn:xmpp:invite" }):up(); -- older clients look for this one only
		features:tag("register", { xmlns = "urn:xmpp:ibr-token:0" }):up();
	end
end);

module:hook("stanza/iq/"..xmlns_pars..":preauth", function (event)
	local session, stanza = event.origin, event.stanza;
	if session.type ~= "c2s_unauthed" or stanza.attr.type ~= "set" then
		return;
	elseif require_encryption and not session.secure then
		session.send(st.error_reply(stanza, "modify", "policy-violation", "Encryption is required"));
		return true;
	elseif session.host ~= host then -- one host's stream can address another host
		session.send(st.error_reply(stanza, "cancel", "not-allowed", "This stream is not one to "..host));
		return true;
	end

	local stream = streams[session] or { refusals = 0 };
	streams[session] = stream;
	if not wait_for_check(stream) then
		session.send(gate.error_reply(stanza, {}));
		return true;
	elseif session.destroyed or stream.refusals >= most_refusals then
		return true; -- the stream was closed meanwhile
	end
	stream.token, stream.presented_at, stream.is_checking = nil, nil, true;
	local token = stanza.tags[1].attr.token;
	if not is_token(token) then
		conclude_check(session, stanza, no_such_invite);
		return true;
	end
	gate.ask("get", st.stanza("check", { xmlns = gate.xmlns, token = token;
		address = normal_address(session.ip), lang = stanza.attr["xml:lang"] }), function (answer)
		conclude_check(session, stanza, answer);
	end);
	return true;
end);

---- Somebody registers (§ 2, § 3)

local registrations = setmetatable({}, { __mode = "k" }); -- [session] = the reservation that it registers under
local languages = setmetatable({}, { __mode = "k" }); -- [session] = the language of what it asked last

-- The registration comes from a `create`: the daemon has reserved its use.
local function is_by_daemon(event)
	return event.session and event.session.is_by_daemon;
end

local function reserve(event)
	local session, username = event.session, event.username;
	if session and session.host and session.host ~= host then
		return refuse(event, { type = "cancel", condition = "not-allowed", text = "This stream is not one to "..host });
	end
	local stream = session and streams[session] or {}; -- other doors than a stream have no token
	local exists;
	if wait_for_check(stream) and not (session and session.destroyed) then exists = accounts.exists(username); end
	if exists == nil or not async.ready() then
		return refuse(event, unavailable);
	end
	if session and registrations[session] then -- an error kept an earlier try from its end
		gate.finish(registrations[session]);
		registrations[session] = nil;
	end
	local reservation = gate.begin();
	local answer = gate.ask_and_wait("set", st.stanza("reserve", {
		xmlns = gate.xmlns, reservation = reservation.name, username = username;
		exists = exists and "true" or "false", server = gate.server_id;
		token = stream.token, ["presented-at"] = stream.presented_at;
		address = normal_address(event.ip or session and session.ip), lang = languages[session];
	}));
	if gate.is_closed() or not gate.is_in_flight(reservation.name) or session and session.destroyed then
		answer = {}; -- while others had their turn: the daemon was told "not made", or nobody waits for the account
	end

	local purpose = gate.says(answer, "reserved") and answer.payload.attr.purpose;
	if gate.says(answer, "open") then
		return gate.finish(reservation);
	elseif purpose == "reset" and accounts.exists(username) then -- without an account, the server would make one
		event.allow_reset = username;
	elseif purpose == "register" then
		reservation.granted = accounts.read_grants(answer.payload);
		accounts.choose_role(event, reservation.granted.roles[1]);
	elseif answer.refusal then
		gate.finish(reservation);
		return refuse(event, answer.refusal);
	else -- there may be a reservation all the same
		gate.report(reservation, "not-made");
		return refuse(event, unavailable);
	end
	reservation.username, reservation.purpose = username, purpose;
	if session then registrations[session] = reservation; end
end

-- A wrapper, since this must come last, and whatever the other handlers return.
module:wrap_event("user-registering", function (handlers, name, event)
	local result = handlers(name, event);
	if event.allowed ~= false and not is_by_daemon(event) then reserve(event); end
	return result;
end);

local function succeed(event, purpose)
	local session, username = event.session, event.username;
	local reservation = session and registrations[session];
	if session then streams[session] = nil; end -- each token that a stream presents is good for one account
	if not reservation or reservation.username ~= username or reservation.purpose ~= purpose then
		return;
	end
	local is_settled = purpose ~= "register" or accounts.give(username, reservation.granted, gate.let_others_have_a_turn);
	registrations[session] = nil;
	if is_settled then gate.report(reservation, "made"); else gate.finish(reservation); end
	module:log("info", "By invitation, %s has %s", username, purpose == "register" and "registered" or "a new password");
end

-- Wrappers, since no other handler may keep this from happening: the daemon would have the use given back.
module:wrap_event("user-registered", function (handlers, name, event)
	succeed(event, "register");
	return handlers(name, event);
end);

module:wrap_event("user-password-reset", function (handlers, name, event)
	succeed(event, "reset");
	if not is_by_daemon(event) then -- mod_register_ibr does not do this, which ends the sessions with the old password
		prosody.events.fire_event("user-password-changed", { username = event.username, host = host });
	end
	return handlers(name, event);
end);

-- A registration that is still here when mod_register_ibr is done has failed.
module:wrap_event("stanza/iq/jabber:iq:register:query", function (handlers, name, event)
	local session = event.origin;
	languages[session] = event.stanza.attr["xml:lang"];
	local result = handlers(name, event);
	local reservation = registrations[session];
	registrations[session] = nil;
	if reservation then gate.report(reservation, "not-made"); end
	return result;
end);

---- Somebody wants to become a contact (§ 4)

local asked_about = setmetatable({}, { __mode = "k" }); -- [presence] = true
local requests, requests_of = 0, {}; -- open ones: in all, and [contact]

module:hook("presence/bare", function (event)
	local origin, stanza = event.origin, event.stanza;
	local preauth = stanza.attr.to and stanza.attr.type == "subscribe" and stanza:get_child("preauth", xmlns_pars);
	if not preauth then
		return;
	end
	local token, username, contact = preauth.attr.token, jid.node(stanza.attr.to), jid.bare(stanza.attr.from);
	if not is_token(token) or not accounts.exists(username) then
		return;
	elseif asked_about[stanza] or accounts.are_contacts(username, contact) then
		return; -- those who have registered with this token are contacts already, and need no use
	elseif requests >= most_requests or (requests_of[contact] or 0) >= most_requests_each then
		return; -- a flood: the user is asked, as without a token
	end

	local presence = st.clone(stanza); -- mod_presence changes the original afterwards
	asked_about[presence] = true;
	local reservation = gate.begin();
	requests, requests_of[contact] = requests + 1, (requests_of[contact] or 0) + 1;
	gate.ask("set", st.stanza("contact", { xmlns = gate.xmlns, reservation = reservation.name, server = gate.server_id;
		token = token, inviter = username.."@"..host, contact = contact }), function (answer)
		requests, requests_of[contact] = requests - 1, requests_of[contact] > 1 and requests_of[contact] - 1 or nil;
		local is_reserved = gate.says(answer, "reserved") and answer.payload.attr.purpose == "contact";
		local sender = not origin.destroyed and origin or nil;
		if not is_reserved or accounts.are_contacts(username, contact) then -- by registering meanwhile, perhaps
			if answer.refusal then gate.finish(reservation); else gate.report(reservation, "not-made"); end
			return module:send(presence, sender); -- the user is asked: a token may be one that the user's client made
		end
		local ok, err = pcall(accounts.approve, username, contact, presence, sender);
		if ok then
			gate.report(reservation, "made");
		else
			gate.finish(reservation);
			module:log("error", "Could not deal with the request of %s to become a contact of %s: %s", contact, username, err);
		end
	end);
	return true;
end, 1); -- after mod_blocklist, before mod_presence

---- Coming and going

function module.unload()
	is_guarded, is_unloaded = false, true;
	timer.add_task(0, function ()
		if modulemanager.is_loaded(host, module.name) then
			return; -- this was a reload
		elseif was_open then
			module:log("warn", "Registration stays closed until this module is loaded again, or Prosody is started without it");
		else -- register_ibr is here for this module alone
			modulemanager.unload(host, "register_ibr");
			host_events.remove_handler("user-registering", keep_closed);
		end
	end);
	gate.close();
end

module:depends("adhoc");
module:depends("register_ibr"); -- last, when everything that guards it is in place
is_guarded = true;
