-- mod_easy_invite: registration and contacts by invitation, for Prosody 0.12 and 13.
--
-- The easy-invite daemon, an external component of this server, keeps the invites and decides. This module asks it when
-- it matters, and does what only the server can do. They talk as docs/gate.md says; "§" below is a section of it.

-- luacheck: std min, globals module, read globals prosody, max line length 140

local modulemanager = require "core.modulemanager";
local rostermanager = require "core.rostermanager";
local storagemanager = require "core.storagemanager";
local usermanager = require "core.usermanager";
local async = require "util.async";
local cache = require "util.cache";
local errors = require "util.error";
local ip_address = require "util.ip".new_ip;
local jid = require "util.jid";
local st = require "util.stanza";
local timer = require "util.timer";
local now = require "util.time".monotonic; -- whatever is done to the clock
local stringprep = require "util.encodings".stringprep;
local uuid = require "util.uuid".generate;

local nodeprep, saslprep = stringprep.nodeprep, stringprep.saslprep;

local xmlns_commands = "http://jabber.org/protocol/commands";
local xmlns_gate = "urn:easy-invite:gate:1";
local xmlns_info = "http://jabber.org/protocol/disco#info";
local xmlns_items = "http://jabber.org/protocol/disco#items";
local xmlns_pars = "urn:xmpp:pars:0";
local xmlns_ping = "urn:xmpp:ping";

local answer_within = 5; -- seconds
local listing_within = 2; -- seconds: a list without our commands is better than one that is late
local longest_token = 128; -- bytes: nothing longer is worth a question
local refusals_at_once, most_refusals = 3, 10; -- of tokens on one stream: more are guesses
local longest_delay = 2; -- seconds: of the answer to a guess
local seen_within = 1; -- seconds: for as long, an inviter who was there is taken to be there
local most_requests, most_requests_each = 64, 4; -- to become a contact, at a time: in all, and by one contact
local most_relayed = 8; -- questions of one session that wait for the daemon at a time
local longest_flight = 60; -- seconds: no registration that still goes on takes nearly as long

local host = module.host;
local component = module:get_option_string("easy_invite_component", "invite."..host);
local require_encryption = module:get_option_boolean("c2s_require_encryption",
	module:get_option_boolean("require_encryption", true));

-- `prosodyctl mod_easy_invite` loads this file too, for module.command at the end and for no host.
local in_server = prosody.process_type == "prosody";
local registration_is_configured; -- whether clients could register without this module as well

if in_server then
	local enabled = modulemanager.get_modules_for_host(host);
	for _, rival in ipairs { "invites_adhoc", "invites_register" } do
		if enabled:contains(rival) or modulemanager.is_loaded(host, rival) then
			module:log_status("error", "Not active, since mod_%s is enabled as well and does the same work its own way. Add to "
				.."VirtualHost \"%s\": modules_disabled = { \"invites_adhoc\", \"invites_register\" }", rival, host);
			if not enabled:contains("invites_register") then -- which would guard the door itself
				module:hook("user-registering", function (event)
					event.allowed, event.reason = false, "Registration is closed";
				end, 1000);
			end
			return;
		end
	end
	registration_is_configured = enabled:contains("register_ibr")
		or enabled:contains("register") and module:get_option_boolean("allow_registration", false);
end

---- Asking the daemon

local unavailable = errors.new({ type = "wait", condition = "resource-constraint",
	text = "Invitations cannot be checked at the moment. Please try again later." });

local waiting = {}; -- [iq id] = what takes the daemon's answer, or nothing when there will be none
local asked, id_prefix = 0, uuid().."-"; -- how often, and what is in front of that in the ids
local watched; -- the events of the component's host
local unloaded = false;
local daemon_answers, daemon_serves_us = true, true;

local function is_from_daemon(event)
	local origin = event.origin;
	return origin and origin.type == "component" and origin.host == component and event.stanza.attr.from == component;
end

-- Without this look, mod_component would log each stanza while nobody is connected; and were the component missing in the
-- configuration, questions and the tokens in them would go out to the Internet.
local function is_connected()
	local link = modulemanager.get_module(component, "component");
	return link and link.connected ~= false;
end

local function note(answer)
	local answers = next(answer) ~= nil;
	local serves_us = not (answer.refusal and answer.refusal.condition == "not-allowed");
	if answers and serves_us ~= daemon_serves_us then
		daemon_serves_us = serves_us;
		if not serves_us then
			module:log("error", "easy-invite does not serve %s, so nobody can register: add a table [hosts.%q] to its configuration",
				host, host);
		end
	end
	if answers == daemon_answers then
		return;
	end
	daemon_answers = answers;
	if answers then
		module:log("info", "%s answers again", component);
	else
		module:log("warn", "%s is not connected or does not answer: nobody can register", component);
	end
end

local function end_waiting()
	local takes = {}; -- what has no answer may ask anew
	for _, take in pairs(waiting) do table.insert(takes, take); end
	for _, take in ipairs(takes) do take(); end
end

-- The component's host may be loaded after this module, and anew.
local function watch_connection()
	local events = prosody.hosts[component].events;
	if events ~= watched then
		watched = events;
		module:hook_object_event(events, "component-disconnected", function ()
			module:add_timer(0, end_waiting); -- when mod_component knows of it as well: what goes on now may ask again
		end);
	end
end

-- The server itself answers at once when it cannot deliver a question.
local questioner = setmetatable({
	send = function (reply)
		local take = waiting[reply.attr.id];
		if take then take(); end
	end;
}, { __index = function (_, key) return prosody.hosts[host][key]; end });

-- Whoever takes an answer must not harm those who wait for theirs: it may run handlers of any module.
local function give(take, answer)
	local ok, err = pcall(take, answer);
	if not ok then module:log("error", "Could not deal with an answer of %s: %s", component, err); end
end

-- `take` gets the answer, once: { payload = ... }, { refusal = the daemon's error }, or {} when there is none; at once if nobody
-- is connected. Not by module:send_iq, which gives up the oldest question when it has 256 (one user could take the answers from
-- others), and not by promises, each of which lets the server's other work pass first.
local function ask(kind, question, take, seconds)
	if unloaded or not is_connected() then
		if not unloaded then note({}); end
		return give(take, {});
	end
	watch_connection();
	asked = asked + 1;
	local id = id_prefix..asked;
	local timeout = module:add_timer(seconds or answer_within, function () waiting[id](); end);
	waiting[id] = function (reply)
		waiting[id] = nil;
		timeout:stop();
		local answer = {};
		if reply and reply.attr.type == "error" and reply:get_child("error") then
			answer.refusal = errors.from_stanza(reply);
		elseif reply and reply.attr.type == "result" then
			answer.payload = reply.tags[1] or st.stanza("nothing");
		end
		if not unloaded then note(answer); end
		give(take, answer);
	end
	module:send(st.iq({ type = kind, from = host, to = component, id = id }):add_child(question), questioner);
end

module:hook("iq/host", function (event)
	local attr = event.stanza.attr;
	if waiting[attr.id] and (attr.type == "result" or attr.type == "error") and is_from_daemon(event) then
		waiting[attr.id](event.stanza);
		return true;
	end
end, 1); -- before mod_iq

---- Who registers takes turns with everybody else

-- A registration goes on where the daemon's answer comes in, and hashes a password there: with as many answers as come in at once,
-- one after the other, and nobody else is served meanwhile. So the next one waits until the daemon has answered a ping, which is read
-- in its turn among all that the server reads. (A timer would run when there is nothing to read.)
local is_others_turn, in_line = false, {};
local take_turn;

local function next_turn(pong)
	is_others_turn = false;
	if pong.payload then
		while in_line[1] and not is_others_turn do take_turn(table.remove(in_line, 1)); end
	else -- nobody waits for a daemon that does not answer once for each of those in front of them
		local line = in_line;
		in_line = {};
		for _, go_on in ipairs(line) do give(go_on); end
	end
end

function take_turn(go_on, in_front)
	if is_others_turn then
		table.insert(in_line, in_front and 1 or #in_line + 1, go_on);
	else
		is_others_turn = true;
		give(go_on);
		ask("get", st.stanza("ping", { xmlns = xmlns_ping }), next_turn);
	end
end

-- Between an account and its contact lists, which take as long. Whoever has begun goes on before all that have not.
local function let_others_have_a_turn()
	if daemon_answers and async.ready() then
		local wait, done = async.waiter();
		take_turn(done, true);
		wait();
	end
end

-- Waits for the answer, while the server goes on serving everybody else. Where nothing can wait, there is no answer.
local function ask_and_wait(kind, question)
	if not async.ready() then
		return {};
	end
	local answer;
	local wait, done = async.waiter();
	local function go_on(given)
		answer = given;
		done();
	end
	ask(kind, question, function (given)
		if given.payload then take_turn(function () go_on(given); end); else go_on(given); end
	end);
	wait();
	return answer;
end

local function says(answer, name, xmlns)
	local payload = answer.payload;
	return payload and payload.name == name and payload.attr.xmlns == (xmlns or xmlns_gate);
end

-- The error for a client that gets nothing else.
local function error_reply(stanza, answer)
	local err = answer.refusal or unavailable;
	local told = err.context and err.context.stanza;
	local tag = told and told:get_child("error");
	if not tag then
		return st.error_reply(stanza, err.type, err.condition, err.text);
	end
	local reply = st.reply(stanza); -- with the error as it came: its text says in which language it is
	reply.attr.type = "error";
	return reply:add_child(tag);
end

---- The id of this server (§ "Several servers")

-- It is in a file here, wherever the accounts are stored: two servers may share those, and must not share this. It is
-- written before anything is reserved, so what is found after a crash is whole.
local function load_server_id()
	local files, store = storagemanager.olddm, "easy_invite_server";
	local kept, err = files.load(nil, host, store);
	if kept then
		return kept.id;
	end
	local id = uuid();
	local ok = not err;
	if ok then ok, err = files.store(nil, host, store, { id = id }); end
	if not ok then
		module:log("error", "The id of this server cannot be kept in %s (%s). Until it can, uses of invites that are open when "
			.."Prosody ends stay taken, since nobody can tell what became of them", files.getpath(nil, host, store), err);
	end
	return id;
end

local server_id = in_server and load_server_id();

---- Reservations

local in_flight = {}; -- [name] = { name, since; and of a registration: username, purpose, promised }
local registrations = setmetatable({}, { __mode = "k" }); -- [session] = the reservation that it registers under
local cleaned = 0; -- when in_flight was
local given_up = cache.new(1000); -- the names of those that came to nothing, in case the daemon does not get to know
local made = cache.new(1000); -- and of those that did not, as far as the daemon named them
local by_daemon = setmetatable({}, { __mode = "k" }); -- [event of a registration] = true: the daemon wants it, and reserved a use

local function is_in_flight(name)
	return in_flight[name] and now() - in_flight[name].since < longest_flight;
end

local function begin(name)
	if now() - cleaned >= longest_flight then -- of those that nobody ended, since something raised an error
		cleaned = now();
		for old in pairs(in_flight) do
			if not is_in_flight(old) then in_flight[old] = nil; end
		end
	end
	name = name or uuid();
	in_flight[name] = { name = name, since = now() };
	return in_flight[name];
end

local function finish(reservation, outcome) -- "redeem", "release", or nil when nothing is reserved
	in_flight[reservation.name] = nil;
	if not outcome then
		return;
	elseif outcome == "release" then
		given_up:set(reservation.name, true);
	end
	ask("set", st.stanza(outcome, { xmlns = xmlns_gate, reservation = reservation.name }), function (answer)
		if outcome == "redeem" and not answer.payload then
			module:log("warn", "Could not redeem reservation %s; the daemon will ask about it", reservation.name);
		end
	end);
end

-- Without an answer, or with a strange one, there may be a reservation all the same.
local function give_back(reservation, answer)
	finish(reservation, not answer.refusal and "release" or nil);
end

---- Contacts, roles and groups

local function has_accounts(its_host)
	return prosody.hosts[its_host] and prosody.hosts[its_host].type == "local";
end

-- true, false, or nil where nobody can tell: to the server, "no" and "the storage fails" look alike.
local function account_exists(username, its_host)
	if not username or not has_accounts(its_host) then
		return false;
	end
	local ok, exists = pcall(usermanager.user_exists, username, its_host);
	if not ok or exists then
		return ok and true or nil;
	end
	local readable, account, problem = pcall(function ()
		return storagemanager.open(its_host, "accounts", "keyval"):get(username); -- as mod_auth_internal_* do
	end);
	if readable and account == nil and not problem then
		return false;
	end
end

-- Gives the account's contact at least this subscription: "both", or "from" (the contact sees the account, and the other
-- direction stays as it is). Nothing else about the contact changes. Raises an error when the list cannot be written, with
-- the list as it was: what is in memory alone would be taken for done when the daemon asks (§ "settle").
local function grant(username, its_host, contact, wanted)
	local roster = rostermanager.load_roster(username, its_host);
	local pending, before, item = roster[false].pending, roster[contact], { subscription = "none", groups = {} };
	for key, value in pairs(before or {}) do item[key] = value; end
	if item.subscription == "both" or item.subscription == wanted then
		return;
	end
	item.subscription = (wanted == "both" or item.subscription == "to") and "both" or "from";
	if item.subscription == "both" then
		item.ask = nil;
	end
	local request = pending[contact];
	roster[contact], pending[contact] = item, nil;
	local ok, saved = pcall(rostermanager.save_roster, username, its_host, roster, contact);
	if not ok or not saved then
		roster[contact], pending[contact] = before, request;
		error(("Could not save %s in the contact list of %s@%s: %s"):format(contact, username, its_host, saved or "see above"), 0);
	end
	rostermanager.roster_push(username, its_host, contact);
end

-- Asks for the direction in which the account sees the contact, unless it does or has asked.
local function request(username, contact)
	if not rostermanager.is_user_subscribed(username, host, contact)
	and not rostermanager.is_contact_pending_out(username, host, contact)
	and rostermanager.set_contact_pending_out(username, host, contact) then
		rostermanager.roster_push(username, host, contact);
		module:send(st.presence({ type = "subscribe", from = username.."@"..host, to = contact }));
	end
end

-- A new account and its inviter become contacts.
local function befriend(username, inviter)
	local account = username.."@"..host;
	local inviter_name, inviter_host = jid.split(inviter);
	if account_exists(inviter_name, inviter_host) then
		grant(username, host, inviter, "both");
		grant(inviter_name, inviter_host, account, "both");
		-- A new account is not online yet. But one whose contact was lost in a crash may be.
		module:send(st.presence({ type = "probe", from = account, to = inviter }));
		module:send(st.presence({ type = "probe", from = inviter, to = account }));
	elseif has_accounts(inviter_host) then
		module:log("info", "%s, who invited %s, has no account any more", inviter, account);
	else -- on another server: the inviter is asked, and needs not be asked back
		rostermanager.subscribed(username, host, inviter);
		request(username, inviter);
	end
end

-- The account takes the contact, whose request is `presence`.
local function approve(username, contact, presence, origin)
	local contact_name, contact_host = jid.split(contact);
	local is_here = account_exists(contact_name, contact_host);
	grant(username, host, contact, is_here and "both" or "from");
	if is_here then
		-- Clients hear of an approval only while they wait for one, so it comes first. The contact's own list comes second:
		-- mod_presence looks into the list of whichever of the two is online.
		module:send(st.presence({ type = "subscribed", from = username.."@"..host, to = contact }));
		grant(contact_name, contact_host, username.."@"..host, "both");
	end
	module:send(presence, origin); -- mod_presence answers it as approved, and exchanges presence
	if not is_here then
		request(username, contact);
	end
end

local function knows_role(role)
	-- Prosody's own store of roles raises an error for one that it does not know.
	local ok, found = pcall(usermanager.get_role_by_name, role, host);
	return ok and found;
end

local function set_roles(username, roles)
	if usermanager.set_user_role then -- Prosody 13: one primary role, and secondary ones
		for i, role in ipairs(roles) do
			local primary = i == 1 and usermanager.get_user_role(username, host);
			local ok, err = true, nil;
			if not knows_role(role) then
				ok, err = false, "there is no such role";
			elseif i > 1 then
				ok, err = usermanager.add_user_secondary_role(username, host, role);
			elseif not primary or primary.name ~= role then -- to set it once more would end the account's sessions
				ok, err = usermanager.set_user_role(username, host, role);
			end
			if not ok then module:log("error", "Could not give %s the role %q: %s", username, role, err); end
		end
	elseif roles[1] then
		local all, is_new = {}, false;
		for role, has in pairs(usermanager.get_roles(username.."@"..host, host) or {}) do all[role] = has; end
		for _, role in ipairs(roles) do
			is_new, all[role] = is_new or not all[role], true;
		end
		if is_new then usermanager.set_roles(username.."@"..host, host, all); end
	end
end

local function join_groups(username, groups)
	local provider = groups[1] and modulemanager.get_module(host, "groups_internal");
	for _, group in ipairs(groups) do
		local ok, err = nil, "mod_groups_internal is not enabled";
		if provider then ok, err = provider.add_member(group, username); end
		if not ok then module:log("warn", "Could not add %s to the group %q: %s", username, group, err); end
	end
end

-- What the daemon promises to a new account.
local function read_promise(element)
	local promised = { inviter = element.attr.inviter, roles = {}, groups = {} };
	for child in element:childtags("role") do table.insert(promised.roles, child:get_text()); end
	for child in element:childtags("group") do table.insert(promised.groups, child:get_text()); end
	return promised;
end

-- To do it once more changes nothing. Where something raises an error, the daemon has it done once more, later.
local function give_rights(username, promised)
	set_roles(username, promised.roles);
	join_groups(username, promised.groups);
end

local function fulfil(username, promised)
	give_rights(username, promised);
	if promised.inviter then befriend(username, promised.inviter); end -- last: not all of it is in our hands
end

-- The same for an account that was just made. Returns whether it is done, or false and the error.
local function fulfil_in_turns(username, promised)
	local ok, err = pcall(give_rights, username, promised);
	if ok and promised.inviter then
		let_others_have_a_turn();
		if account_exists(username, host) ~= false then -- it may be deleted again, and has used the invite all the same
			ok, err = pcall(befriend, username, promised.inviter);
		end
	end
	return ok, err;
end

---- Deleted accounts (§ 7)

-- One table for the host, since what is stored by username goes with the account.
local deletions = in_server and module:open_store("easy_invite_deleted");
local untold = deletions and deletions:get(nil) or {}; -- [username] = when the account was deleted
local telling = false;
local seen = cache.new(1000); -- [inviter] = when they were there

local function timestamp(time) -- without a time: of now
	return os.date("!%Y-%m-%dT%H:%M:%SZ", time);
end

local function keep_untold()
	local ok, err = deletions:set(nil, next(untold) and untold or nil);
	if not ok then module:log("error", "Could not note which accounts were deleted: %s", err); end
end

-- One after the other: there may be many.
local function tell_of_deletions()
	local username, time = next(untold);
	if telling or not username then
		return;
	end
	telling = true;
	ask("set", st.stanza("deleted", { xmlns = xmlns_gate, username = username, ["deleted-at"] = time }), function (answer)
		telling = false;
		if not answer.payload and not (answer.refusal and answer.refusal.type ~= "wait") then
			return keep_untold(); -- again at the next hello
		elseif untold[username] == time then
			untold[username] = nil;
		end
		if not next(untold) then keep_untold(); end
		tell_of_deletions();
	end);
end

local function note_deletion(username)
	seen:set(username.."@"..host, nil);
	untold[username] = timestamp();
	keep_untold();
	tell_of_deletions();
end

module:hook_global("user-deleted", function (event)
	if event.host == host then note_deletion(event.username); end
end);

---- A client presents a token (§ 1)

-- [session] = { token, presented_at, refusals; is_presenting: the answer to a token has not gone out; turns: what waits for that }
local streams = setmetatable({}, { __mode = "k" });

-- As the daemon counts them: one way to write each, and those of IPv4 as such where they come in through IPv6. Nothing for
-- what is no address, as a proxy may pass it on.
local function normal_address(ip)
	local address = ip and ip_address(ip);
	return address and (address.normal:match("^::ffff:([%d.]+)$") or address.normal);
end

local no_such_invite = { refusal = { type = "cancel", condition = "item-not-found", text = "This invitation is not valid" } };

-- Prosody 0.12 does not hear of `prosodyctl deluser`. It reads a file for each look.
local function inviter_is_gone(inviter)
	local username, its_host = jid.split(inviter);
	if not has_accounts(its_host) or now() - (seen:get(inviter) or -seen_within) < seen_within then
		return false;
	end
	local exists = account_exists(username, its_host);
	seen:set(inviter, exists and now() or nil);
	if exists == false and its_host == host then note_deletion(username); end
	return exists == false;
end

local function is_token(token)
	return token and token ~= "" and #token <= longest_token;
end

-- Whoever guesses gets answers more and more slowly, and nobody else does: 0, 0, 0, 0.5, 1, 2, 2, ... seconds.
local function delay_of(refusals)
	return refusals > refusals_at_once and math.min(2 ^ (refusals - refusals_at_once - 2), longest_delay) or 0;
end

-- What a stream sends after a token waits its turn, where that matters. Returns false where nothing can wait.
local function wait_for_presented(stream)
	while stream.is_presenting do
		if not async.ready() then
			return false;
		end
		local wait, done = async.waiter();
		stream.turns = stream.turns or {};
		table.insert(stream.turns, done);
		wait();
	end
	return true;
end

-- The daemon has answered about a token; the client is told.
local function conclude_presenting(session, stanza, answer)
	local stream, reply = streams[session];
	local invite = says(answer, "invite") and answer.payload.attr;
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
	if invite then
		stream.token, stream.presented_at = stanza.tags[1].attr.token, invite["checked-at"];
		reply = st.reply(stanza);
	else
		reply = error_reply(stanza, answer);
	end
	local is_refused = refusal and refusal.type ~= "wait";
	if is_refused then stream.refusals = stream.refusals + 1; end
	local function send()
		if session.destroyed or session.notopen then
			return; -- what was sent behind the token has ended the stream, or begun it anew
		end
		session.send(reply);
		-- The daemon bars an address for what came by other streams.
		local is_barred = refusal and refusal.condition == "policy-violation";
		if session.type == "c2s_unauthed" and (is_barred or stream.refusals >= most_refusals) then
			session:close({ condition = "policy-violation", text = "Too many invitations that are not valid" });
		end
	end
	local function tell()
		local ok, err = pcall(send);
		if not ok then module:log("error", "Could not answer about a token: %s", err); end
		local turns = stream.turns or {};
		stream.is_presenting, stream.turns = nil, nil;
		for _, done in ipairs(turns) do done(); end
	end
	local delay = is_refused and delay_of(stream.refusals) or 0;
	if delay > 0 then timer.add_task(delay, tell); else tell(); end
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
	if not wait_for_presented(stream) then
		session.send(error_reply(stanza, {}));
		return true;
	elseif session.destroyed or stream.refusals >= most_refusals then
		return true; -- the stream has been closed meanwhile
	end
	stream.token, stream.presented_at, stream.is_presenting = nil, nil, true;
	local token = stanza.tags[1].attr.token;
	if not is_token(token) then
		conclude_presenting(session, stanza, no_such_invite);
		return true;
	end
	ask("get", st.stanza("check", { xmlns = xmlns_gate, token = token;
		address = normal_address(session.ip), lang = stanza.attr["xml:lang"] }), function (answer)
		conclude_presenting(session, stanza, answer);
	end);
	return true;
end);

---- Somebody registers (§ 2, § 3)

-- Prosody 13 creates the account with its role.
local function choose_role(event, promised)
	local role = promised.roles[1];
	if role and usermanager.set_user_role and knows_role(role) then event.role = role; end
end

local languages = setmetatable({}, { __mode = "k" }); -- [session] = the language of what it asked last

local function refuse(event, err)
	event.allowed, event.error = false, errors.new(err);
	event.error_type, event.error_condition, event.reason = err.type, err.condition, err.text;
end

local function end_registration(session, outcome)
	local reservation = registrations[session];
	registrations[session] = nil;
	if reservation then finish(reservation, outcome); end
end

local function reserve(event)
	local session, username = event.session, event.username;
	if session and session.host and session.host ~= host then
		return refuse(event, { type = "cancel", condition = "not-allowed", text = "This stream is not one to "..host });
	end
	local stream = session and streams[session] or {}; -- who comes by another door than a stream has no token
	local exists;
	if wait_for_presented(stream) and not (session and session.destroyed) then exists = account_exists(username, host); end
	if exists == nil or not async.ready() then
		return refuse(event, unavailable);
	end
	if session then
		end_registration(session); -- left over from a try on which something raised an error: it may have made an account
	end
	local reservation = begin();
	local answer = ask_and_wait("set", st.stanza("reserve", {
		xmlns = xmlns_gate, reservation = reservation.name, username = username;
		exists = exists and "true" or "false", server = server_id;
		token = stream.token, ["presented-at"] = stream.presented_at, address = normal_address(event.ip or session and session.ip);
		lang = languages[session];
	}));
	if unloaded or not is_in_flight(reservation.name) or session and session.destroyed then
		answer = {}; -- while it was others' turn: the daemon was told that this came to nothing, or nobody waits for the account
	end

	local purpose = says(answer, "reserved") and answer.payload.attr.purpose;
	if says(answer, "open") then
		return finish(reservation);
	elseif purpose == "reset" and account_exists(username, host) then -- the server would create one that is gone by now
		event.allow_reset = username;
	elseif purpose == "register" then
		reservation.promised = read_promise(answer.payload);
		choose_role(event, reservation.promised);
	else
		purpose = nil;
	end
	if not purpose then
		give_back(reservation, answer);
		return refuse(event, answer.refusal or unavailable);
	end
	reservation.username, reservation.purpose = username, purpose;
	registrations[session] = reservation;
end

-- A wrapper, since this must come last, and whatever the handlers return.
module:wrap_event("user-registering", function (handlers, name, event)
	local result = handlers(name, event);
	if event.allowed ~= false and not by_daemon[event] then reserve(event); end
	return result;
end);

local function succeed(event, purpose)
	if not event.session then
		return;
	end
	streams[event.session] = nil; -- one account for each time that a token is presented
	local reservation = registrations[event.session];
	if reservation and reservation.username == event.username and reservation.purpose == purpose then
		local ok, err = true, nil;
		if purpose == "register" then ok, err = fulfil_in_turns(event.username, reservation.promised); end
		if not ok then
			module:log("error", "%s has registered, and not all that the invitation promises is done yet: %s", event.username, err);
		end
		end_registration(event.session, ok and "redeem" or nil);
		module:log("info", "By invitation, %s has %s", event.username, purpose == "register" and "registered" or "a new password");
	end
end

-- Wrappers, since no other handler must keep this from happening: the use would be given back.
module:wrap_event("user-registered", function (handlers, name, event)
	succeed(event, "register");
	return handlers(name, event);
end);

module:wrap_event("user-password-reset", function (handlers, name, event)
	succeed(event, "reset");
	if not by_daemon[event] then
		-- mod_register_ibr does not tell the others: mod_c2s ends the sessions of those who knew the old password.
		prosody.events.fire_event("user-password-changed", { username = event.username, host = host });
	end
	return handlers(name, event);
end);

-- Nobody tells when a registration has failed.
module:wrap_event("stanza/iq/jabber:iq:register:query", function (handlers, name, event)
	languages[event.origin] = event.stanza.attr["xml:lang"];
	local result = handlers(name, event);
	end_registration(event.origin, "release");
	return result;
end);

---- Somebody wants to become a contact (§ 4)

local asked_about = setmetatable({}, { __mode = "k" }); -- [presence] = true
local requests, requests_of = 0, {}; -- that wait for the daemon: in all, and [contact]

module:hook("presence/bare", function (event)
	local origin, stanza = event.origin, event.stanza;
	local preauth = stanza.attr.to and stanza.attr.type == "subscribe" and stanza:get_child("preauth", xmlns_pars);
	if not preauth then
		return;
	end
	local token, username, contact = preauth.attr.token, jid.node(stanza.attr.to), jid.bare(stanza.attr.from);
	if not is_token(token) or not account_exists(username, host) then
		return;
	end
	local function are_contacts()
		local item = rostermanager.load_roster(username, host)[contact];
		return item and item.subscription == "both";
	end
	if asked_about[stanza] or are_contacts() then
		return; -- as those who have registered with this token: no use is needed
	elseif requests >= most_requests or (requests_of[contact] or 0) >= most_requests_each then
		return; -- a flood: the user is asked, as without a token
	end

	local presence = st.clone(stanza); -- mod_presence changes the original afterwards
	asked_about[presence] = true;
	local reservation = begin();
	requests, requests_of[contact] = requests + 1, (requests_of[contact] or 0) + 1;
	ask("set", st.stanza("contact", { xmlns = xmlns_gate, reservation = reservation.name, server = server_id, token = token;
		inviter = username.."@"..host, contact = contact }), function (answer)
		requests, requests_of[contact] = requests - 1, requests_of[contact] > 1 and requests_of[contact] - 1 or nil;
		local is_reserved = says(answer, "reserved") and answer.payload.attr.purpose == "contact";
		local sender = not origin.destroyed and origin or nil;
		if is_reserved and not are_contacts() then -- who has registered may have become one meanwhile
			local ok, err = pcall(approve, username, contact, presence, sender);
			finish(reservation, ok and "redeem" or nil);
			if not ok then
				module:log("error", "Could not deal with the request of %s to become a contact of %s: %s", contact, username, err);
			end
		else
			give_back(reservation, answer);
			module:send(presence, sender); -- the user is asked; the token may be one that the user's client made
		end
	end);
	return true;
end, 1); -- after mod_blocklist, before mod_presence

---- Commands (§ 5)

local function is_daemons_node(node)
	return node == "xmpp:prosody.im/mod_invites_adhoc#password-reset"
		or node and (node:find("urn:xmpp:invite#", 1, true) == 1 or node:find("urn:easy-invite:command:", 1, true) == 1);
end

local function is_our_user(event)
	return event.origin.type == "c2s" and jid.host(event.stanza.attr.from) == host;
end

-- Whether a JID, or whoever sent the stanza of an event, is an admin.
local function is_admin(who)
	if module.may then -- Prosody 13
		return module:may(":administer", who, true);
	end
	return usermanager.is_admin(type(who) == "string" and who or who.stanza.attr.from, host);
end

if in_server and module.default_permission then
	module:default_permission("prosody:admin", ":administer");
end

local function relayed(event, payload)
	local attr = event.stanza.attr;
	return st.stanza("relay", { xmlns = xmlns_gate, from = attr.from, lang = attr["xml:lang"];
		admin = is_admin(event) and "true" or "false" }):add_child(st.clone(payload));
end

-- Users are not made to wait here, as those who register are: Prosody may not go on reading from a stream that has waited
-- until more comes in.
local relaying = setmetatable({}, { __mode = "k" }); -- [session] = how many of its questions wait for the daemon

local function relay(event, kind, seconds, take)
	local origin = event.origin;
	if (relaying[origin] or 0) >= most_relayed then
		origin.send(st.error_reply(event.stanza, "wait", "resource-constraint", "Please wait for the answers to what you have asked"));
		return;
	end
	relaying[origin] = (relaying[origin] or 0) + 1;
	ask(kind, relayed(event, event.stanza.tags[1]), function (answer)
		relaying[origin] = relaying[origin] - 1;
		if not origin.destroyed then take(answer); end -- Prosody would log what it cannot send: an invite
	end, seconds);
end

module:hook("iq-set/host/"..xmlns_commands..":command", function (event)
	local origin, stanza = event.origin, event.stanza;
	if not is_daemons_node(stanza.tags[1].attr.node) then
		return;
	elseif not is_our_user(event) then
		origin.send(st.error_reply(stanza, "auth", "forbidden", "This command is for users of "..host));
		return true;
	end
	relay(event, "set", answer_within, function (answer)
		if says(answer, "command", xmlns_commands) then
			origin.send(st.reply(stanza):add_child(answer.payload));
		else
			origin.send(error_reply(stanza, answer));
		end
	end);
	return true;
end, 600); -- before mod_adhoc

-- Discovery: the daemon is asked first, then mod_disco answers, and asks for what there is to add.
local discovered = setmetatable({}, { __mode = "k" }); -- [stanza] = the daemon's answer

local function discover(xmlns, is_for_daemon)
	local name = "iq-get/host/"..xmlns..":query";
	module:hook(name, function (event)
		if discovered[event.stanza] or not is_for_daemon(event.stanza.tags[1].attr.node) or not is_our_user(event) then
			return;
		end
		relay(event, "get", listing_within, function (answer)
			discovered[event.stanza] = answer;
			module:fire_event(name, event);
		end);
		return true;
	end, 10); -- before mod_disco
end

discover(xmlns_items, function (node) return node == xmlns_commands; end);
discover(xmlns_info, is_daemons_node);

module:hook("host-disco-items-node", function (event)
	local answer = discovered[event.stanza];
	if answer and says(answer, "query", xmlns_items) then
		for item in answer.payload:childtags("item") do
			if is_daemons_node(item.attr.node) then
				event.reply:tag("item", { jid = host, node = item.attr.node, name = item.attr.name }):up();
			end
		end
	end
end, -1); -- after mod_adhoc

module:hook("host-disco-info-node", function (event)
	local answer = discovered[event.stanza];
	if not answer then
		return;
	elseif not says(answer, "query", xmlns_info) then
		event.origin.send(error_reply(event.stanza, answer));
		return true;
	end
	for _, child in ipairs(answer.payload.tags) do
		event.reply:add_child(child);
	end
	event.exists = true;
end);

---- The administrator's command line, the server's side (§ 6)

-- It comes through Prosody's admin socket. The link is text, since what goes there is logged with its attributes.
module:hook_global("admin/"..xmlns_gate..":generate", function (event)
	local origin, wish = event.origin, st.clone(event.stanza);
	if wish.attr.host ~= host then
		return;
	end
	wish.attr.host = nil;
	ask("set", wish, function (answer)
		local refusal = answer.refusal;
		local reply, text = "refused", component.." is not connected or does not answer: does easy-invite run?";
		if says(answer, "generated") then
			reply, text = "link", answer.payload.attr["landing-url"] or answer.payload.attr.uri;
		elseif refusal then
			text = refusal.text or component.." says "..refusal.condition;
		end
		if origin.conn then origin.send(st.stanza(reply, { xmlns = xmlns_gate }):text(text)); end
	end);
	return true;
end);

---- What the daemon asks

local accounts = in_server and module:open_store("accounts"); -- where mod_auth_internal_* keep them
local account_details = in_server and module:open_store("account_details"); -- of those that mod_register_ibr made

local no_question = { type = "modify", condition = "bad-request" };
local nobody_can_tell = { type = "wait", condition = "internal-server-error", text = "The accounts cannot be read, or not be written" };
local of_another_server = { type = "cancel", condition = "not-allowed", text = "Another server made this reservation" };

local function reply_to_daemon(event, payload, err)
	err = err or no_question;
	if event.origin.destroyed then
		return; -- Prosody would log what it cannot send
	end
	event.origin.send(payload and st.reply(event.stanza):add_child(payload)
		or st.error_reply(event.stanza, err.type, err.condition, err.text));
end

-- `answer` returns the payload of the result, or nil and the error, which is `no_question` if it does not say.
local function answer_daemon(kind, name, answer)
	module:hook("iq-"..kind.."/host/"..xmlns_gate..":"..name, function (event)
		if not is_from_daemon(event) then
			return; -- and nobody else answers it either
		end
		local ok, payload, err = pcall(answer, event.stanza.tags[1]);
		if not ok then
			module:log("error", "Could not answer %s about %s: %s", component, name, payload);
			payload, err = nil, nobody_can_tell;
		end
		reply_to_daemon(event, payload, err);
		return true;
	end);
end

answer_daemon("get", "hello", function ()
	tell_of_deletions();
	return st.stanza("hello", { xmlns = xmlns_gate, software = "Prosody "..prosody.version, server = server_id });
end);

-- Prosody 13 notes it with the account, and either version when somebody registers.
local function created_at(username)
	local account, details = accounts:get(username), account_details:get(username);
	local time = account and account.created or details and details.registered;
	return time and timestamp(time);
end

answer_daemon("get", "account", function (question)
	local username = question.attr.username;
	if not username then
		return;
	end
	if nodeprep(username, true) ~= username then
		return st.stanza("account", { xmlns = xmlns_gate, exists = "false", admin = "false", impossible = "true" });
	end
	local exists = account_exists(username, host);
	if exists == nil then
		return nil, nobody_can_tell;
	end
	return st.stanza("account", { xmlns = xmlns_gate, exists = exists and "true" or "false";
		admin = exists and is_admin(username.."@"..host) and "true" or "false", ["created-at"] = exists and created_at(username) or nil });
end);

-- Prosody 13 creates an account in steps: without a password and disabled, then the password, then enabled. A crash in
-- between leaves something that exists, in which nobody can log in. It is told from an account that somebody has disabled
-- since by what it says itself of when it was made and when it was changed: the clock may have been set before or after.
local function finish_creation(username)
	local account = accounts:get(username);
	if not account or not account.disabled then
		return;
	elseif not (account.stored_key or account.password) then
		module:log("info", "Removing %s, the rest of a registration that was cut short", username);
		usermanager.get_provider(host).delete_user(username); -- without the event: nobody has ever used it
	elseif usermanager.enable_user and account.created and account.updated
	and math.abs(account.updated - account.created) < longest_flight then
		usermanager.enable_user(username, host);
	end
end

answer_daemon("set", "settle", function (question)
	local name, purpose, account, inviter = question.attr.reservation, question.attr.purpose, question.attr.account, question.attr.inviter;
	local server = question.attr.server or "";
	local fate, exists;
	if not name or not account then
		return;
	elseif server ~= "" and server ~= server_id then
		return nil, of_another_server;
	elseif is_in_flight(name) then
		fate = "in-flight";
	elseif given_up:get(name) then
		fate = "not-made"; -- whoever has an account of that name now got it otherwise
	elseif purpose == "reset" then
		fate = "made"; -- nobody can tell, and a link must not reset twice
	elseif purpose == "register" and jid.host(account) == host then
		finish_creation(jid.node(account));
		exists = account_exists(jid.split(account));
		if exists then fulfil(jid.node(account), read_promise(question)); end
	elseif purpose == "contact" and jid.host(inviter) == host then
		exists = account_exists(jid.split(inviter));
		if exists then approve(jid.node(inviter), account, st.presence({ type = "subscribe", from = account, to = inviter })); end
	else
		return;
	end
	if not fate and exists == nil then
		return nil, nobody_can_tell;
	end
	fate = fate or exists and "made" or "not-made";
	if fate ~= "in-flight" then -- and stays so, should a `create` still be on its way
		(fate == "made" and made or given_up):set(name, true);
	end
	return st.stanza("fate", { xmlns = xmlns_gate, is = fate });
end);

---- Somebody registers in a browser (§ "create")

local role_of_newcomers = module:get_option_string("register_ibr_default_role", "prosody:registered"); -- of Prosody 13

local ask_later = st.stanza("fate", { xmlns = xmlns_gate, is = "in-flight" });
local was_given_up = { type = "wait", condition = "resource-constraint", text = "This registration was given up. Please try again." };
local not_stored = { type = "wait", condition = "internal-server-error", text = "The account cannot be stored. Please try again later." };
local name_is_none = { type = "modify", condition = "jid-malformed", text = "The requested username is invalid." };
local name_is_taken = { type = "cancel", condition = "conflict", text = "The requested username already exists." };
local nobody_to_reset = { type = "cancel", condition = "item-not-found", text = "There is no such account any more" };

-- Other modules want to know whose registration it is. Whoever has only a browser has no stream.
local function stand_in(address)
	local function nothing() end
	return { type = "c2s_unauthed", host = host, ip = address, secure = true, log = module._log, send = nothing, close = nothing };
end

local function refused_password(username, password)
	local policy = modulemanager.get_module(host, "password_policy");
	local ok, text = saslprep(password), "There are characters in the password that cannot be used";
	if ok and policy and policy.check_password then
		ok, text = policy.check_password(password, { username = username });
	end
	return not ok and { type = "modify", condition = "policy-violation", text = text } or nil;
end

-- Stores the account or the password of a registration that everybody has allowed, as mod_register_ibr would. Returns whether
-- that is done, or nil where it cannot be told.
local function store(event, purpose)
	local username, password = event.username, event.password;
	local ok, err;
	if purpose == "reset" then
		ok, err = usermanager.set_password(username, password, host); -- which ends the sessions of those who knew the old one
	elseif usermanager.create_user_with_role then -- Prosody 13
		ok, err = usermanager.create_user_with_role(username, password, host, event.role);
	else
		ok, err = usermanager.create_user(username, password, host);
	end
	if ok and purpose == "register" then
		event.additional.registered = os.time();
		ok, err = account_details:set(username, event.additional);
		if not ok then usermanager.delete_user(username, host); end
	end
	if ok then
		return true;
	end
	module:log("error", "Could not store the account %s: %s", username, err);
	if purpose == "reset" then
		return false;
	end
	finish_creation(username);
	if account_exists(username, host) == false then
		return false;
	end
end

-- Returns the payload of the answer, or nil and the error. Runs where it can wait, as other modules may want to.
local function create(reservation, question)
	local username, purpose, promised = reservation.username, reservation.purpose, reservation.promised;
	local event = {
		username = username, password = question:get_child_text("password"), host = host, additional = {}, allowed = true;
		ip = question.attr.address, session = stand_in(question.attr.address);
		allow_reset = purpose == "reset" and username or nil, role = role_of_newcomers;
	};
	by_daemon[event] = true;
	local err = refused_password(username, event.password);
	if err then
		return nil, err;
	end
	module:fire_event("user-registering", event);
	if not event.allowed then
		err = event.error or { type = event.error_type, condition = event.error_condition, text = event.reason };
		return nil, { type = err.type or "modify", condition = err.condition or "not-acceptable", text = err.text };
	elseif unloaded or not is_in_flight(reservation.name) then -- the daemon may have been told otherwise meanwhile
		return nil, was_given_up;
	end
	local exists = account_exists(username, host);
	if exists == nil then
		return nil, nobody_can_tell;
	elseif exists ~= (purpose == "reset") then
		return nil, exists and name_is_taken or nobody_to_reset;
	end

	choose_role(event, promised);
	reservation.may_be_made = true; -- whatever raises an error from here on
	local stored = store(event, purpose);
	if not stored then
		return stored == nil and ask_later or nil, not_stored;
	end
	module:log("info", "By invitation, %s has %s in a browser", username, purpose == "register" and "registered" or "set a new password");
	local answer = st.stanza("created", { xmlns = xmlns_gate });
	if purpose == "reset" then
		module:fire_event("user-password-reset", event);
		return answer;
	end
	local ok, problem = fulfil_in_turns(username, promised);
	if not ok then
		module:log("error", "%s has registered, and not all that the invitation promises is done yet: %s", username, problem);
		answer.attr.settled = "false";
	end
	module:fire_event("user-registered", { username = username, host = host, source = "mod_"..module.name;
		ip = event.ip, session = event.session });
	return answer;
end

module:hook("iq-set/host/"..xmlns_gate..":create", function (event)
	if not is_from_daemon(event) then
		return;
	end
	local question = event.stanza.tags[1];
	local name, username, purpose = question.attr.reservation, question.attr.username, question.attr.purpose;
	if not name or not username or not (purpose == "register" or purpose == "reset") or not question:get_child("password") then
		reply_to_daemon(event);
	elseif question.attr.server ~= server_id then
		reply_to_daemon(event, nil, of_another_server);
	elseif given_up:get(name) then
		reply_to_daemon(event, nil, was_given_up);
	elseif in_flight[name] or made:get(name) then
		reply_to_daemon(event, ask_later);
	elseif username == "" or nodeprep(username, true) ~= username then
		given_up:set(name, true);
		reply_to_daemon(event, nil, name_is_none);
	else
		local reservation = begin(name);
		reservation.username, reservation.purpose, reservation.promised = username, purpose, read_promise(question);
		local function conclude(payload, err)
			in_flight[name] = nil;
			(payload and made or given_up):set(name, true);
			reply_to_daemon(event, payload, err);
		end
		local runner = async.runner(function ()
			conclude(create(reservation, question));
		end, { error = function (_, problem)
			module:log("error", "Could not create %s: %s", username, problem);
			conclude(reservation.may_be_made and ask_later or nil, nobody_can_tell);
		end });
		take_turn(function () runner:run(true); end);
	end
	return true;
end);

---- Coming and going

function module.unload()
	unloaded = true;
	-- mod_register_ibr alone lets everybody in. If it is here for this module only, it goes too, unless this is a reload.
	timer.add_task(0, function ()
		if not registration_is_configured and not modulemanager.is_loaded(host, module.name) then
			modulemanager.unload(host, "register_ibr");
		end
	end);
	end_waiting();
end

if in_server then
	module:depends("adhoc");
	module:depends("register_ibr"); -- last, when everything that guards it is in place
end

---- The administrator's command line, prosodyctl's side (§ 6)

local usage = [[
Usage: prosodyctl mod_easy_invite generate HOST [options]

Prints a link with which somebody can register on HOST.

  --username NAME   for this username alone, reserved until the invite ends
  --role ROLE       a role for the account (may be repeated)
  --admin           the same as --role prosody:admin
  --group ID        a group for the account (may be repeated)
  --reset USERNAME  instead, a link with which USERNAME can set a new password]];

local function fail(code, ...)
	io.stderr:write(string.format(...), "\n");
	os.exit(code);
end

local function read_wish(words)
	local wish = st.stanza("generate", { xmlns = xmlns_gate, type = "account" });
	local position = 1;
	local function next_word()
		position = position + 1;
		return words[position - 1] or fail(2, "%s needs a value\n\n%s", words[position - 2], usage);
	end
	local names = {};
	while words[position] do
		local word = next_word();
		if word == "--role" or word == "--group" then
			wish:text_tag(word:sub(3), next_word());
		elseif word == "--admin" then
			wish:text_tag("role", "prosody:admin");
		elseif word == "--username" or word == "--reset" then
			wish.attr.username = wish.attr.username and fail(2, "There can be only one username\n\n%s", usage) or next_word();
			wish.attr.type = word == "--reset" and "password-reset" or wish.attr.type;
		elseif word:sub(1, 1) == "-" then
			fail(2, "Unknown option %s\n\n%s", word, usage);
		else
			table.insert(names, word);
		end
	end
	if names[2] == "generate" then -- either order
		names[1], names[2] = names[2], names[1];
	end
	if names[1] ~= "generate" or #names ~= 2 then
		fail(2, "%s", usage);
	elseif wish.attr.type == "password-reset" and wish.tags[1] then
		fail(2, "Roles and groups are for new accounts\n\n%s", usage);
	end
	wish.attr.host = names[2];
	return wish;
end

function module.command(words)
	if words[1] == "--help" then
		print(usage);
		return 0;
	end
	local wish = read_wish(words);
	local asked_host, asked_name = wish.attr.host, wish.attr.username;
	wish.attr.host = stringprep.nameprep(asked_host);
	wish.attr.username = asked_name and stringprep.nodeprep(asked_name, true);
	if not prosody.hosts[wish.attr.host] then
		fail(1, "%s is not a host of this Prosody", asked_host);
	elseif asked_name and (wish.attr.username or "") == "" then
		fail(1, "%s cannot be a username", asked_name);
	end

	local client = require "util.adminstream".client();
	client.events.add_handler("connected", function ()
		client.send(wish);
	end);
	client.events.add_handler("received", function (reply)
		if reply.name == "link" then
			print(reply:get_text());
			os.exit(0); -- at once, as `prosodyctl shell` does: the end of the stream would be logged to the terminal
		elseif reply.name == "refused" then
			fail(1, "%s", reply:get_text());
		end
		fail(1, "mod_easy_invite is not active on %s: is it enabled there, and what does Prosody's log say?", asked_host);
	end);
	local socket = require "util.paths".resolve_relative_path(prosody.paths.data,
		require "core.configmanager".get("*", "admin_socket") or "prosody.sock");
	local ok, err = require "util.adminstream".connection(socket, client.listeners):connect();
	if not ok then
		fail(1, "Cannot reach Prosody at %s (%s): does it run, with admin_shell in its modules_enabled?", socket, err);
	end
	timer.add_task(2 * answer_within, function ()
		fail(1, "Prosody does not answer");
	end);
	require "net.server".loop();
end
