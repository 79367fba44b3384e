-- The gate: the questions between this module and the easy-invite daemon (docs/gate.md). It knows
-- nothing of accounts.

local modulemanager = require "core.modulemanager";
local storagemanager = require "core.storagemanager";
local async = require "util.async";
local cache = require "util.cache";
local errors = require "util.error";
local poll = require "util.poll";
local st = require "util.stanza";
local now = require "util.time".monotonic; -- nobody can set this clock
local uuid = require "util.uuid".generate;

local xmlns = "urn:easy-invite:gate:1";
local answer_within, sweep_every = 5, 0.5; -- seconds
local longest_flight = 60; -- seconds: no registration takes nearly as long
local host = module.host;
local component = module:require "hosts"(module:get_option_string("easy_invite_component", "invite."..host));
local gate = { component = component };

function gate.error(type, condition, text)
	return errors.new({ type = type, condition = condition, text = text });
end

gate.unavailable = gate.error("wait", "resource-constraint",
	"Invitations cannot be checked at the moment. Please try again later.");
gate.never = gate.error("cancel", "feature-not-implemented", "The accounts of this server are not made here");
gate.nobody_can_tell = gate.error("wait", "internal-server-error", "The accounts cannot be read or written");

function gate.element(name, attr)
	attr.xmlns = xmlns;
	return st.stanza(name, attr);
end

local function is_from_daemon(event)
	local origin = event.origin;
	return origin and origin.type == "component" and origin.host == component and event.stanza.attr.from == component;
end

---- The hook asks the daemon
local open_questions = {}; -- [id of the IQ] = { take = function (answer), deadline = seconds }
local id_prefix, asked = uuid().."-", 0;
local nothing = st.stanza("nothing"); -- the payload of an empty result
local daemon_is = "answering"; -- a key of this:
local log_entries = {
	answering = { "info", "%s answers again" };
	refusing = { "error", '%s does not serve %s, so nobody can register: its configuration needs [hosts."%s"]' };
	away = { "warn", "%s is not connected or does not answer: nobody can register" };
};

-- Without a connection, mod_component would log every stanza. Without the component in the
-- configuration, the questions and the tokens in them would go out to the Internet.
local function is_connected()
	local link = modulemanager.get_module(component, "component");
	return link and link.connected ~= false;
end

local function log_changes(answer)
	local is_refused = answer.refusal and answer.refusal.condition == "not-allowed";
	local is = not answer.stanza and "away" or is_refused and "refusing" or "answering";
	if gate.is_closed or is == daemon_is then return; end
	daemon_is = is;
	module:log(log_entries[is][1], log_entries[is][2], component, host, host);
end

-- An error in the handler of one answer must not keep the other questions from theirs.
local function call(handler, answer)
	local ok, err = pcall(handler, answer);
	if not ok then module:log("error", "Could not deal with an answer of %s: %s", component, err); end
end

local function conclude(id, answer)
	local question = open_questions[id];
	open_questions[id] = nil;
	log_changes(answer);
	if question then call(question.take, answer); end -- another handler may have ended it
end

local function give_up(time) -- the questions whose deadline has come by then
	local ids = {}; -- collected first: a handler may ask anew
	for id, question in pairs(open_questions) do
		if question.deadline <= time then table.insert(ids, id); end
	end
	for _, id in ipairs(ids) do conclude(id, {}); end
end

module:add_timer(sweep_every, function () -- one timer for all questions is cheaper than one for each
	give_up(is_connected() and now() or math.huge);
	return sweep_every;
end);

-- Asks the daemon, and calls `take` once with the answer: { stanza, payload }, { stanza, refusal },
-- or {} if there is none; at once, and with `is_unsent`, where nobody is connected. module:send_iq
-- drops the oldest of 256 open questions, so one user could keep the answers from all others, and
-- its promises put off each answer.
function gate.ask(kind, question, take, seconds)
	if gate.is_closed or not is_connected() then
		log_changes({});
		return call(take, { is_unsent = true });
	end
	asked = asked + 1;
	local id = id_prefix..asked;
	open_questions[id] = { take = take, deadline = now() + (seconds or answer_within) };
	local iq = st.stanza("iq"):add_child(question);
	iq.attr = { type = kind, from = host, to = component, id = id }; -- unchecked, since each check costs time
	module:send(iq);
end

module:hook("iq/host", function (event)
	local reply = event.stanza;
	local id, type = reply.attr.id, reply.attr.type;
	if not open_questions[id] or type ~= "result" and type ~= "error" or not is_from_daemon(event) then return; end
	conclude(id, type == "result" and { stanza = reply, payload = reply.tags[1] or nothing }
		or reply:get_child("error") and { stanza = reply, refusal = errors.from_stanza(reply) } or {});
	return true;
end, 1); -- before mod_iq

-- Returns the attributes of the answer's payload, if it is this one.
function gate.says(answer, name, its_xmlns)
	local payload = answer.payload;
	return payload and payload.name == name and payload.attr.xmlns == (its_xmlns or xmlns) and payload.attr;
end

-- The reply to a client's stanza: the daemon's own, if that has this payload or an error (which
-- names the language of its text).
function gate.reply_to(stanza, answer, name, its_xmlns)
	local reply = (answer.refusal or gate.says(answer, name, its_xmlns)) and answer.stanza;
	if not reply then return st.error_reply(stanza, answer.refusal or gate.unavailable); end
	local attr = reply.attr;
	attr.from, attr.to, attr.id = stanza.attr.to, stanza.attr.from, stanza.attr.id;
	return reply;
end

function gate.close() -- when the module is unloaded
	gate.is_closed = true;
	give_up(math.huge);
end

---- Registrations take turns with the rest of the server (docs/gate.md, "Turns")
local is_ping_open, line = false, {};

local function next_turn(pong)
	is_ping_open = pong.payload and line[1];
	while line[1] do -- all of them if the ping has no answer: the next would have none either
		call(table.remove(line, 1));
		if pong.payload then return gate.ask("get", st.stanza("ping", { xmlns = "urn:xmpp:ping" }), next_turn); end
	end
end

function gate.take_turn(go_on, in_front)
	table.insert(line, in_front and 1 or #line + 1, go_on);
	if not is_ping_open then next_turn({ payload = nothing }); end
end

-- A registration that has begun goes on before those that have not.
function gate.pause()
	if daemon_is == "away" or not async.ready() then return; end
	local wait, done = async.waiter();
	gate.take_turn(done, true);
	wait();
end

-- Returns what the function returns, or nil and its error. It may wait, which it could not within
-- pcall in Lua 5.1. So may the caller, a coroutine of util.async.
function gate.call(f)
	local result, problem;
	local wait, done = async.waiter();
	local runner = async.runner(function () result = f(); done(); end, {
		error = function (_, err) problem = err; done(); end });
	runner:run(true);
	wait();
	return result, problem;
end

-- Runs the function, which may wait. Without a coroutine of util.async, as in another module's
-- timer, it gets one, and may go on after this has returned true.
function gate.run(f)
	if async.ready() then return f(); end
	async.runner(f, { error = function (_, err) module:log("error", "A registration failed: %s", err); end }):run(true);
	return true;
end

-- For a caller in no coroutine, who has to have the answer at once: the server stands still for it,
-- and reads the component's stream alone. While the daemon hangs, this happens once a minute.
local component_sessions = module:shared("/*/component/sessions");
local longest_halt, next_halt = 2, 0; -- seconds, and when the server may stand still again
local function ask_and_halt(kind, question)
	local conn;
	for its_conn, session in pairs(component_sessions) do
		if session.host == component then conn = its_conn; end
	end
	if conn and not conn.onreadable then
		module:log("error", "Another module registers somebody outside of Prosody's coroutines. That needs the usual "
			.."network_backend, \"epoll\"");
		conn = nil;
	end
	if not conn or now() < next_halt then return { is_unsent = true }; end
	local answer;
	local give_up_at, readable = now() + longest_halt, poll.new();
	readable:add(conn:getfd(), true, false);
	next_halt = math.huge; -- not within this halt
	gate.ask(kind, question, function (given) answer = given; end, longest_halt);
	while not answer and conn.conn and now() < give_up_at do
		conn:onwritable();
		readable:wait(0.05);
		conn:onreadable();
	end
	if not answer then give_up(math.max(now(), give_up_at)); end
	next_halt = answer.stanza and 0 or now() + 60;
	return answer;
end

-- Returns the answer. The caller waits, and the server does not, if that is a coroutine of
-- util.async. After the answer to a "set" comes a password to be hashed.
function gate.ask_and_wait(kind, question)
	if not async.ready() then return ask_and_halt(kind, question); end
	local answer;
	local wait, done = async.waiter();
	gate.ask(kind, question, function (given)
		answer = given;
		if given.payload and kind == "set" then gate.take_turn(done); else done(); end
	end);
	wait();
	return answer;
end

---- Reservations
local fates = cache.new(2000); -- [name of a reservation] = { is; since when, or what could not be given }
function gate.begin(name) fates:set(name, { is = "in-flight", since = now() }); end

-- "in-flight"; "overdue" (an error has kept it from its end); "made", and a text for each thing
-- that could not be given; "unfinished" (made, but not all is given yet); "unknown" (nobody can
-- tell); "not-made"; "doubtful" (not made, as far as anybody can tell); or nil.
function gate.fate(name)
	local fate = fates:get(name);
	if not fate then return; end
	if fate.since and now() - fate.since >= longest_flight then return "overdue"; end
	return fate.is, fate.failed;
end

-- The element that tells a fate.
function gate.fate_element(is, failed, attr)
	attr = attr or {};
	attr.is = is;
	local element = gate.element("fate", attr);
	for _, text in ipairs(failed or {}) do element:text_tag("failed", text); end
	return element;
end

-- The reservation is no longer in flight. Without a fate, `settle` finds it out. The daemon is told
-- if it is known to have made the reservation.
function gate.finish(name, is, is_reserved, failed)
	fates:set(name, is and { is = is, failed = failed });
	if not is_reserved or is ~= "made" and is ~= "not-made" then return; end
	gate.ask("set", gate.fate_element(is, failed, { reservation = name }), function () end);
end

---- The daemon asks the hook
local bad_request = gate.error("modify", "bad-request");
function gate.reply(event, payload, err)
	if event.origin.destroyed then return; end -- Prosody would log what it cannot send
	event.origin.send(payload and st.reply(event.stanza):add_child(payload) or st.error_reply(event.stanza, err));
end

-- `answer` gets the question and its event. It returns the payload of the result, or nil and an
-- error (none where the question lacks something), or true where it replies later.
function gate.hook(kind, name, answer)
	module:hook("iq-"..kind.."/host/"..xmlns..":"..name, function (event)
		if not is_from_daemon(event) then return; end
		local ok, payload, err = pcall(answer, event.stanza.tags[1], event);
		if not ok then
			module:log("error", "Could not answer %s about %s: %s", component, name, payload);
			payload, err = nil, gate.nobody_can_tell;
		end
		if payload ~= true then gate.reply(event, payload, err or bad_request); end
		return true;
	end);
end

-- The id of this server (docs/gate.md). It is written before the first reservation is made.
local files = storagemanager.load_driver(host, "internal"):open("easy_invite_server");
local kept, err = files:get(nil);
gate.server_id = kept and kept.id or uuid();
if not kept and not err then err = select(2, files:set(nil, { id = gate.server_id })); end
if err then
	module:log("error", "The id of this server cannot be kept in %s (%s). Until it can, uses of invites that are open "
		.."when Prosody ends stay taken, since nobody can tell what became of them", prosody.paths.data, err);
end

return gate;
