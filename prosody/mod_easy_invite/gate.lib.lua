-- The gate: the questions between this module and the easy-invite daemon (docs/gate.md). It knows nothing of accounts.

local modulemanager = require "core.modulemanager";
local storagemanager = require "core.storagemanager";
local async = require "util.async";
local cache = require "util.cache";
local errors = require "util.error";
local st = require "util.stanza";
local now = require "util.time".monotonic; -- nobody can set this clock
local uuid = require "util.uuid".generate;

local xmlns_gate = "urn:easy-invite:gate:1";
local xmlns_ping = "urn:xmpp:ping";

local answer_within = 5; -- seconds
local sweep_every = 0.5; -- seconds, while a question is open: late answers are given up by then
local longest_flight = 60; -- seconds: no registration takes nearly as long

local host = module.host;
local component = module:get_option_string("easy_invite_component", "invite."..host);

---- The hook asks the daemon

local unavailable = errors.new({ type = "wait", condition = "resource-constraint",
	text = "Invitations cannot be checked at the moment. Please try again later." });

local open_questions = {}; -- [id of the IQ] = { take = function (answer), deadline = seconds }
local id_prefix, asked = uuid().."-", 0;
local is_sweeping, is_closed = false, false;
local watched_events; -- of the component's host
local daemon_answers, daemon_serves_us = true, true;

local function is_from_daemon(event)
	local origin = event.origin;
	return origin and origin.type == "component" and origin.host == component and event.stanza.attr.from == component;
end

-- Without a connection, mod_component would log every stanza. Without the component in the configuration, the questions
-- and the tokens in them would go out to the Internet.
local function is_connected()
	local link = modulemanager.get_module(component, "component");
	return link and link.connected ~= false;
end

-- Logs when the daemon goes away or comes back.
local function log_changes(answer)
	local answers = next(answer) ~= nil;
	local serves_us = not (answer.refusal and answer.refusal.condition == "not-allowed");
	if answers and serves_us ~= daemon_serves_us then
		daemon_serves_us = serves_us;
		if not serves_us then
			module:log("error", "easy-invite does not serve %s, so nobody can register: add a table [hosts.%q] to its "
				.."configuration", host, host);
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

-- An error in one handler of an answer must not keep the other questions from theirs.
local function call(handler, answer)
	local ok, err = pcall(handler, answer);
	if not ok then module:log("error", "Could not deal with an answer of %s: %s", component, err); end
end

local function conclude(id, reply)
	local question, answer = open_questions[id], {};
	if not question then
		return;
	end
	open_questions[id] = nil;
	if reply and reply.attr.type == "error" and reply:get_child("error") then
		answer.refusal = errors.from_stanza(reply);
	elseif reply and reply.attr.type == "result" then
		answer.payload = reply.tags[1] or st.stanza("nothing");
	end
	if not is_closed then log_changes(answer); end
	call(question.take, answer);
end

local function conclude_all(is_due)
	local ids = {}; -- first: a handler may ask anew
	for id, question in pairs(open_questions) do
		if is_due(question) then table.insert(ids, id); end
	end
	for _, id in ipairs(ids) do conclude(id); end
end

local function give_up_all()
	conclude_all(function () return true; end);
end

local function sweep()
	local time = now();
	conclude_all(function (question) return question.deadline <= time; end);
	is_sweeping = next(open_questions) ~= nil;
	return is_sweeping and sweep_every or nil;
end

-- The component's host may be loaded after this module, and more than once.
local function watch_connection()
	local events = prosody.hosts[component].events;
	if events ~= watched_events then
		watched_events = events;
		module:hook_object_event(events, "component-disconnected", function ()
			module:add_timer(0, give_up_all); -- a tick later mod_component knows of it as well
		end);
	end
end

-- Where Prosody cannot deliver a question, it replies to its origin at once.
local questioner = setmetatable({
	send = function (reply) conclude(reply.attr.id); end;
}, { __index = function (_, key) return prosody.hosts[host][key]; end });

-- Asks the daemon, and calls `take` once with the answer: { payload = ... }, { refusal = the daemon's error }, or {}
-- where there is none. Where nobody is connected it does so at once.
--
-- module:send_iq would not do: it drops the oldest of 256 open questions, so one user could keep the answers from all
-- others; and its promises put off each answer until other work is done.
local function ask(kind, question, take, seconds)
	if is_closed or not is_connected() then
		if not is_closed then log_changes({}); end
		return call(take, {});
	end
	watch_connection();
	asked = asked + 1;
	local id = id_prefix..asked;
	open_questions[id] = { take = take, deadline = now() + (seconds or answer_within) };
	if not is_sweeping then
		is_sweeping = true;
		module:add_timer(sweep_every, sweep);
	end
	module:send(st.iq({ type = kind, from = host, to = component, id = id }):add_child(question), questioner);
end

module:hook("iq/host", function (event)
	local attr = event.stanza.attr;
	if open_questions[attr.id] and (attr.type == "result" or attr.type == "error") and is_from_daemon(event) then
		conclude(attr.id, event.stanza);
		return true;
	end
end, 1); -- before mod_iq

local function says(answer, name, xmlns)
	local payload = answer.payload;
	return payload and payload.name == name and payload.attr.xmlns == (xmlns or xmlns_gate);
end

-- The reply to a client whose request the daemon refused, or did not answer.
local function error_reply(stanza, answer)
	local err = answer.refusal or unavailable;
	local original = err.context and err.context.stanza and err.context.stanza:get_child("error");
	if not original then
		return st.error_reply(stanza, err.type, err.condition, err.text);
	end
	local reply = st.reply(stanza); -- with the daemon's own element, since that names the language of its text
	reply.attr.type = "error";
	return reply:add_child(original);
end

-- No more questions and answers: the module is unloaded.
local function close()
	is_closed = true;
	give_up_all();
end

---- Registrations take turns with the rest of the server

-- Prosody has one thread, and hashes the password of a registration as soon as it has read the daemon's answer. Many
-- answers that arrive together would keep it from everybody else. So each registration but the first waits until the
-- daemon has answered a ping: Prosody reads that answer in its turn with whatever else has arrived. (A timer would not
-- do: it runs even while there is more to read.)
local is_ping_open, line = false, {};
local take_turn;

local function next_turn(pong)
	is_ping_open = false;
	if pong.payload then
		while line[1] and not is_ping_open do take_turn(table.remove(line, 1)); end
	else -- without an answer all go on: each would wait for the next ping in vain
		local all = line;
		line = {};
		for _, go_on in ipairs(all) do call(go_on); end
	end
end

function take_turn(go_on, in_front)
	if is_ping_open then
		table.insert(line, in_front and 1 or #line + 1, go_on);
	else
		is_ping_open = true;
		call(go_on);
		ask("get", st.stanza("ping", { xmlns = xmlns_ping }), next_turn);
	end
end

-- Between an account and its contact lists, which take as long to write. This goes before registrations in line.
local function let_others_have_a_turn()
	if daemon_answers and async.ready() then
		local wait, done = async.waiter();
		take_turn(done, true);
		wait();
	end
end

-- Returns the answer. Only the caller waits, not the server; where the caller cannot wait there is no answer.
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

---- Reservations

local in_flight = {}; -- [name] = { name, since; of a registration also: username, purpose, granted }
local swept_flights = now();
local fates = cache.new(2000); -- [name of a reservation] = "made" or "not-made", as far as it is known here

local function is_in_flight(name)
	return in_flight[name] and now() - in_flight[name].since < longest_flight;
end

local function begin(name)
	if now() - swept_flights >= longest_flight then -- those that an error kept from their end
		swept_flights = now();
		for old in pairs(in_flight) do
			if not is_in_flight(old) then in_flight[old] = nil; end
		end
	end
	name = name or uuid();
	in_flight[name] = { name = name, since = now() };
	return in_flight[name];
end

local function has_begun(name)
	return in_flight[name] ~= nil;
end

-- `fate` is "made", "not-made", or nil where it is not known.
local function finish(reservation, fate)
	in_flight[reservation.name] = nil;
	if fate then fates:set(reservation.name, fate); end
end

-- The same, and tells the daemon.
local function report(reservation, fate)
	finish(reservation, fate);
	local element = fate == "made" and "redeem" or "release";
	ask("set", st.stanza(element, { xmlns = xmlns_gate, reservation = reservation.name }), function (answer)
		if fate == "made" and not answer.payload then
			module:log("warn", "Could not redeem reservation %s; the daemon will ask about it", reservation.name);
		end
	end);
end

---- The daemon asks the hook

local bad_request = { type = "modify", condition = "bad-request" };
local nobody_can_tell = { type = "wait", condition = "internal-server-error",
	text = "The accounts cannot be read, or not be written" };

local function reply(event, payload, err)
	err = err or bad_request;
	if event.origin.destroyed then
		return; -- Prosody would log what it cannot send, passwords and all
	end
	event.origin.send(payload and st.reply(event.stanza):add_child(payload)
		or st.error_reply(event.stanza, err.type, err.condition, err.text));
end

local function hook(kind, name, handler)
	module:hook("iq-"..kind.."/host/"..xmlns_gate..":"..name, function (event)
		if is_from_daemon(event) then
			handler(event, event.stanza.tags[1]);
			return true;
		end
	end);
end

-- `answer` gets the question and returns the payload of the result, or nil and an error ("bad-request" without one).
local function hook_question(kind, name, answer)
	hook(kind, name, function (event, question)
		local ok, payload, err = pcall(answer, question);
		if not ok then
			module:log("error", "Could not answer %s about %s: %s", component, name, payload);
			payload, err = nil, nobody_can_tell;
		end
		reply(event, payload, err);
	end);
end

---- The id of this server

-- It is in a file on this machine, wherever the accounts are: servers that share accounts must not share the id. It is
-- written before the first reservation is made.
local function load_server_id()
	local files = storagemanager.load_driver(host, "internal"):open("easy_invite_server");
	local kept, err = files:get(nil);
	if kept then
		return kept.id;
	end
	local id, ok = uuid(), not err;
	if ok then ok, err = files:set(nil, { id = id }); end
	if not ok then
		module:log("error", "The id of this server cannot be kept in %s (%s). Until it can, uses of invites that are open "
			.."when Prosody ends stay taken, since nobody can tell what became of them", prosody.paths.data, err);
	end
	return id;
end

return {
	xmlns = xmlns_gate, component = component, answer_within = answer_within, longest_flight = longest_flight;
	server_id = load_server_id();
	ask = ask, ask_and_wait = ask_and_wait, says = says, error_reply = error_reply, close = close;
	unavailable = unavailable, nobody_can_tell = nobody_can_tell;
	take_turn = take_turn, let_others_have_a_turn = let_others_have_a_turn;
	is_closed = function () return is_closed; end;
	fates = fates, begin = begin, finish = finish, report = report, is_in_flight = is_in_flight, has_begun = has_begun;
	hook = hook, hook_question = hook_question, reply = reply;
};
