-- The gate: what this module and the easy-invite daemon ask each other (docs/gate.md). This file
-- knows nothing of accounts.

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
local answer_timeout, sweep_interval = 5, 0.5; -- seconds
local max_flight = 60; -- seconds, far longer than any registration takes
local host = module.host;
local component = module:require "hosts"(module:get_option_string("easy_invite_component", "invite."..host));
local gate = { component = component };

function gate.error(type, condition, text)
	return errors.new({ type = type, condition = condition, text = text });
end

gate.unavailable = gate.error("wait", "resource-constraint",
	"Invitations cannot be checked at the moment. Please try again later.");
gate.never = gate.error("cancel", "feature-not-implemented", "The accounts of this server are not made here");
gate.username_taken = gate.error("cancel", "conflict", "The requested username already exists.");
gate.accounts_unavailable = gate.error("wait", "internal-server-error", "The accounts cannot be read or written");

function gate.element(name, attr)
	attr.xmlns = xmlns;
	return st.stanza(name, attr);
end

local function is_from_daemon(event)
	local origin = event.origin;
	return origin and origin.type == "component" and origin.host == component and event.stanza.attr.from == component;
end

---- The hook asks the daemon
local open_questions = {}; -- [id of the IQ] = { on_answer = function (answer), deadline = seconds }
local id_prefix, asked = uuid().."-", 0;
local no_payload = st.stanza("nothing"); -- stands for the payload of an empty result
local daemon_state = "answering"; -- a key of this:
local log_entries = {
	answering = { "info", "%s answers again" };
	refusing = { "error", '%s does not serve %s, so nobody can register: its configuration needs [hosts."%s"]' };
	away = { "warn", "%s is not connected or does not answer: nobody can register" };
};

-- Without a connection, mod_component would log every stanza. If the configuration lacks the
-- component, Prosody would send the questions, with the tokens in them, to another server.
local function is_connected()
	local link = modulemanager.get_module(component, "component");
	return link and link.connected ~= false;
end

local function log_changes(answer)
	local is_refused = answer.refusal and answer.refusal.condition == "not-allowed";
	local state = not answer.stanza and "away" or is_refused and "refusing" or "answering";
	if gate.is_closed or state == daemon_state then return; end
	daemon_state = state;
	module:log(log_entries[state][1], log_entries[state][2], component, host, host);
end

-- If the handler of one answer fails, the other questions still get theirs.
local function call_safely(handler, answer)
	local ok, err = pcall(handler, answer);
	if not ok then module:log("error", "Could not handle an answer of %s: %s", component, err); end
end

local function conclude(id, answer)
	local question = open_questions[id];
	open_questions[id] = nil;
	log_changes(answer);
	if question then call_safely(question.on_answer, answer); end -- another handler may have ended it
end

local function give_up(time) -- on the questions whose deadline is not after this
	local ids = {}; -- collected first, since a handler may ask another question
	for id, question in pairs(open_questions) do
		if question.deadline <= time then table.insert(ids, id); end
	end
	for _, id in ipairs(ids) do conclude(id, {}); end
end

module:add_timer(sweep_interval, function () -- one timer for all questions is cheaper than one for each
	give_up(is_connected() and now() or math.huge);
	return sweep_interval;
end);

-- Asks the daemon, and calls `on_answer` once: with { stanza, payload }, with { stanza, refusal },
-- or with {} if there is no answer in time. Without a connection, it calls it at once with
-- { is_unsent = true }. This does not use module:send_iq, which drops the oldest of 256 open
-- questions, so that one user could keep the answers from all others. Its promises also delay each
-- answer.
function gate.ask(kind, question, on_answer, seconds)
	if gate.is_closed or not is_connected() then
		log_changes({});
		return call_safely(on_answer, { is_unsent = true });
	end
	asked = asked + 1;
	local id = id_prefix..asked;
	open_questions[id] = { on_answer = on_answer, deadline = now() + (seconds or answer_timeout) };
	local iq = st.stanza("iq"):add_child(question);
	iq.attr = { type = kind, from = host, to = component, id = id }; -- unchecked, since each check costs time
	module:send(iq);
end

module:hook("iq/host", function (event)
	local reply = event.stanza;
	local id, type = reply.attr.id, reply.attr.type;
	if not open_questions[id] or type ~= "result" and type ~= "error" or not is_from_daemon(event) then return; end
	conclude(id, type == "result" and { stanza = reply, payload = reply.tags[1] or no_payload }
		or reply:get_child("error") and { stanza = reply, refusal = errors.from_stanza(reply) } or {});
	return true;
end, 1); -- before mod_iq

-- Returns the attributes of the answer's payload if that is this element, otherwise nil or false.
function gate.attr_of(answer, name, its_xmlns)
	local payload = answer.payload;
	return payload and payload.name == name and payload.attr.xmlns == (its_xmlns or xmlns) and payload.attr;
end

-- Returns the reply to a client's stanza: the daemon's own, if that is an error or has this
-- payload. (The daemon's error names the language of its text.)
function gate.reply_to(stanza, answer, name, its_xmlns)
	local reply = (answer.refusal or gate.attr_of(answer, name, its_xmlns)) and answer.stanza;
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
local is_ping_open, waiting = false, {};

local function next_turn(pong)
	is_ping_open = pong.payload and waiting[1];
	while waiting[1] do -- if the ping has no answer, all of them go on
		call_safely(table.remove(waiting, 1));
		if pong.payload then return gate.ask("get", st.stanza("ping", { xmlns = "urn:xmpp:ping" }), next_turn); end
	end
end

function gate.take_turn(go_on, in_front)
	table.insert(waiting, in_front and 1 or #waiting + 1, go_on);
	if not is_ping_open then next_turn({ payload = no_payload }); end
end

-- Waits for a turn. A registration that has begun goes before those that have not.
function gate.pause()
	if daemon_state == "away" or not async.ready() then return; end
	local wait, done = async.waiter();
	gate.take_turn(done, true);
	wait();
end

-- Calls the function, and returns its result, or nil and its error. The caller is a coroutine of
-- util.async. Unlike with pcall in Lua 5.1, the function may wait.
function gate.call(f)
	local result, problem;
	local wait, done = async.waiter();
	local runner = async.runner(function () result = f(); done(); end, {
		error = function (_, err) problem = err; done(); end });
	runner:run(true);
	wait();
	return result, problem;
end

-- Calls the function, which may wait. If the caller is no coroutine of util.async (another module's
-- timer, for example), the function runs in a new one, and this may return true before it ends.
function gate.run(f)
	if async.ready() then return f(); end
	async.runner(f, { error = function (_, err) module:log("error", "A registration failed: %s", err); end }):run(true);
	return true;
end

-- For a caller that is no coroutine and needs the answer at once: blocks the server, which then
-- reads only the component's stream. If the daemon does not answer, this is done once a minute.
local component_sessions = module:shared("/*/component/sessions");
local max_block, next_block = 2, 0; -- seconds, and when the server may be blocked again
local function ask_and_block(kind, question)
	local conn;
	for its_conn, session in pairs(component_sessions) do
		if session.host == component then conn = its_conn; end
	end
	if conn and not conn.onreadable then
		module:log("error", "Another module registers somebody outside of Prosody's coroutines. That needs the usual "
			.."network_backend, \"epoll\"");
		conn = nil;
	end
	if not conn or now() < next_block then return { is_unsent = true }; end
	local answer;
	local give_up_at, readable = now() + max_block, poll.new();
	readable:add(conn:getfd(), true, false);
	next_block = math.huge; -- a handler called below must not block again
	gate.ask(kind, question, function (given) answer = given; end, max_block);
	while not answer and conn.conn and now() < give_up_at do
		conn:onwritable();
		readable:wait(0.05);
		conn:onreadable();
	end
	if not answer then give_up(math.max(now(), give_up_at)); end
	next_block = answer.stanza and 0 or now() + 60;
	return answer;
end

-- Asks the daemon, and returns the answer. If the caller is a coroutine of util.async, the server
-- goes on meanwhile. After a "set", the caller hashes a password, so it first waits for a turn.
function gate.ask_and_wait(kind, question)
	if not async.ready() then return ask_and_block(kind, question); end
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
local fates = cache.new(2000); -- [reservation] = { is, since (while in flight), failed (what could not be given) }
function gate.begin(name) fates:set(name, { is = "in-flight", since = now() }); end

-- Returns nil or one of these:
--   "in-flight"
--   "overdue"     it never ended, because of an error
--   "made"        the second value has a text for each grant that failed for good
--   "unfinished"  made, but something granted is not given yet
--   "unknown"     perhaps made
--   "not-made"
--   "doubtful"    not made, unless the accounts just cannot be read
function gate.fate(name)
	local fate = fates:get(name);
	if not fate then return; end
	if fate.since and now() - fate.since >= max_flight then return "overdue"; end
	return fate.is, fate.failed;
end

function gate.fate_element(is, failed, attr)
	attr = attr or {};
	attr.is = is;
	local element = gate.element("fate", attr);
	for _, text in ipairs(failed or {}) do element:text_tag("failed", text); end
	return element;
end

-- The reservation is no longer in flight. If `is` is nil, the daemon's `settle` finds out how it
-- ended. With `is_reserved`, the daemon is told now.
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

-- Registers a handler, which gets the question and its event. It returns the payload of the result;
-- or nil and an error, or nil alone if the question lacks something; or true if it replies later.
function gate.hook(kind, name, answer)
	module:hook("iq-"..kind.."/host/"..xmlns..":"..name, function (event)
		if not is_from_daemon(event) then return; end
		local ok, payload, err = pcall(answer, event.stanza.tags[1], event);
		if not ok then
			module:log("error", "Could not answer the question %q of %s: %s", name, component, payload);
			payload, err = nil, gate.accounts_unavailable;
		end
		if payload ~= true then gate.reply(event, payload, err or bad_request); end
		return true;
	end);
end

-- The id of this server (docs/gate.md). It is stored before the first reservation is made.
local files = storagemanager.load_driver(host, "internal"):open("easy_invite_server");
local stored, err = files:get(nil);
gate.server_id = stored and stored.id or uuid();
if not stored and not err then err = select(2, files:set(nil, { id = gate.server_id })); end
if err then
	module:log("error", "The id of this server cannot be kept in %s (%s). Until it can, uses of invites that are open "
		.."when Prosody ends stay reserved, since the daemon cannot find out what became of them",
		prosody.paths.data, err);
end

return gate;
