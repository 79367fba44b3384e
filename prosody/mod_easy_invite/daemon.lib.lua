-- The questions of the daemon, and the reports to it of deleted accounts and changed passwords
-- (docs/gate.md).

local async = require "util.async";
local cache = require "util.cache";
local datetime = require "util.datetime".datetime;
local it = require "util.iterators";
local jid = require "util.jid";
local st = require "util.stanza";
local now = require "util.time".monotonic;
local uuid = require "util.uuid".generate;

local host = module.host;
local role_of_newcomers = module:get_option_string("register_ibr_default_role", "prosody:registered");

-- `is_registering` tells whether a registration or a password reset for this username is going on.
return function (gate, about, accounts, grants, rights, nickname, is_registering)
	---- `deleted` and `password-changed`
	-- Stored for the host: what is stored for a username is deleted with the account.
	local store = module:open_store("easy_invite_untold");
	local unreported = store:get(nil) or {}; -- ["deleted alice"] = when that happened
	local time_of = { deleted = "deleted-at", ["password-changed"] = "changed-at" }; -- the attributes for it
	local is_reporting, repeat_interval = false, 10; -- seconds
	-- A `settle` that the daemon sent before it got the report may come so long after it.
	local late_until, settle_delay = cache.new(1000), 20; -- [username of the deleted account] = until when; seconds
	local storing; -- the username whose account this module is storing now

	local function note(report, time)
		unreported[report] = time;
		local ok, err = store:set(nil, next(unreported) and unreported or nil);
		if not ok then module:log("error", "Could not store what to report to the daemon: %s", err); end
	end

	local function report_next() -- one at a time, since there may be many
		local report, time = next(unreported);
		if is_reporting or not report then return; end
		is_reporting = true;
		local name, username = report:match("^(%S+) (.*)$");
		gate.ask("set", gate.element(name, { username = username, [time_of[name]] = time }), function (answer)
			is_reporting = false;
			if answer.refusal and answer.refusal.type == "modify" then
				module:log("error", "The daemon cannot read the report %q: %s", report, answer.refusal.text);
			elseif not answer.payload then
				return; -- the timer repeats it
			end
			if unreported[report] == time then note(report, nil); end
			if name == "deleted" then late_until:set(username, now() + settle_delay); end
			report_next();
		end);
	end

	module:add_timer(repeat_interval, function () report_next(); return repeat_interval; end);
	module:hook_global("user-deleted", function (event)
		-- Nobody has been told of an account that is still being made.
		if event.host ~= host or accounts.is_being_made(event.username) then return; end
		note("deleted "..event.username, datetime());
		report_next();
	end);
	module:hook_global("user-password-changed", function (event)
		local username = event.username;
		if event.host ~= host or storing == username or is_registering(username) then return; end
		note("password-changed "..username, datetime());
		report_next();
	end);

	gate.hook("get", "hello", function (question)
		report_next();
		local hello = gate.element("hello", { software = "Prosody "..prosody.version, server = gate.server_id });
		if question.attr.brief == "true" then return hello; end
		hello.attr.version, hello.attr.replaced = about.version, about.are_files_replaced() and "true" or nil;
		for _, file in ipairs(about.files) do hello:tag("file", file):up(); end
		for rival in it.sorted_pairs(about.rivals()) do hello:tag("rival", { module = "mod_"..rival }):up(); end
		for username in it.sorted_pairs(rights.named_admins()) do
			local exists, is_doubtful = accounts.exists(username);
			if exists == false and not is_doubtful then hello:tag("admin", { username = username }):up(); end
		end
		for _, option in ipairs(rights.unused_options()) do hello:tag("unused", { option = option }):up(); end
		for _, warning in ipairs(about.warnings()) do hello:text_tag("warning", warning); end
		if accounts.form then hello:add_child(accounts.form:form()); end
		for _, purpose in ipairs { "register", "reset" } do
			local why = accounts.never(purpose);
			if why then hello:text_tag("never", why, { purpose = purpose }); end
		end
		return hello;
	end);

	---- `account`
	local function ignore() end

	-- Returns a session without a client, with the fields that other modules' handlers use.
	local function make_session(ip, log)
		return { type = "c2s_unauthed", host = host, ip = ip, secure = true, log = log, send = ignore, close = ignore };
	end

	-- Returns the name of the module that would refuse to register this name, with its reason if it
	-- gives one; or nil. It asks the modules as a registration does, but without an address, so
	-- that no limit on addresses counts it. A module that fails, or refuses a random name as well,
	-- does not count.
	local function find_refusal(username)
		local letters = uuid():gsub("%d", function (digit) return string.char(103 + digit); end);
		local random_name = letters:gsub("%W", ""):sub(1, 10);
		local function ask(handler, name)
			local event = { username = name, password = uuid(), host = host, session = make_session(nil, ignore);
				additional = {}, role = role_of_newcomers, allowed = true, is_by_daemon = true };
			local result = gate.call(function () return { returned = handler(event) }; end);
			return event, result and result.returned;
		end
		for _, handler in ipairs(prosody.hosts[host].events.get_handlers("user-registering") or {}) do
			local event, returned = ask(handler, username);
			if not event.allowed and ask(handler, random_name).allowed then
				local name = debug.getinfo(handler, "S").source:match(".*(mod_[%w_]+)") or "a module of the server";
				local text = (event.error or {}).text or event.reason;
				return text and name..": "..text or name;
			elseif event.allowed and returned ~= nil then
				return; -- a registration would ask no further handlers
			end
		end
	end

	gate.hook("get", "account", function (question, event)
		local username = question.attr.username;
		if not username then return; end
		local is_possible = accounts.is_possible(username);
		local exists, is_doubtful = false, false;
		if is_possible then exists, is_doubtful = accounts.exists(username); end
		if exists == nil then return nil, gate.accounts_unavailable; end
		local names, roles;
		if is_possible then names, roles = accounts.roles(username); end
		local is_admin = is_possible and (exists and accounts.is_admin or rights.names_admin)(username, roles);
		local account = gate.element("account", { exists = tostring(exists);
			impossible = not is_possible and "true" or nil, doubtful = is_doubtful and "true" or nil;
			admin = tostring(is_admin or false) });
		if not exists and is_possible and question.attr.register == "true" then
			async.runner(function ()
				local refusal = find_refusal(username);
				gate.reply(event, refusal and account:text_tag("refusal", refusal) or account);
			end):run(true);
			return true;
		end
		if not exists then return account; end
		local created = accounts.created_at(username);
		account.attr[created and "created-at" or "known-since"] =
			datetime(math.floor(created or accounts.known_since(username)));
		account.attr.nickname = nickname(username);
		account.attr.disabled = accounts.is_disabled(username) and "true" or nil;
		local may_invite, may_invite_contacts = rights.may_invite(username, roles);
		account.attr["may-invite"] = not may_invite and "false" or nil;
		account.attr["may-invite-contacts"] = not may_invite_contacts and "false" or nil;
		account.attr.privileged = rights.is_privileged(username, roles) and "true" or nil;
		account.attr.rank = tostring(accounts.rank(username, roles, rights.named_admins(host)[username]));
		for _, role in ipairs(names) do account:text_tag("role", role); end
		return account;
	end);

	---- `settle`
	local fate = gate.fate_element;

	gate.hook("set", "settle", function (question)
		local attr = question.attr;
		local name, username, purpose = attr.reservation, attr.username, attr.purpose;
		local is_known = purpose == "register" or purpose == "reset" or purpose == "contact" and attr.contact;
		if not name or not username or not is_known then return; end
		if attr.server ~= gate.server_id then return fate("elsewhere"); end
		local known, failed = gate.fate(name);
		if known == "in-flight" or known == "not-made" then return fate(known); end
		if known == "made" then return fate(known, failed); end -- giving it again might undo what users did since
		local exists, is_doubtful = accounts.exists(username);
		local text;
		local is_deleted = known == "unfinished" and exists == false and not is_doubtful; -- then the use stays used
		-- If the account was deleted, one of this name belongs to somebody else. The report of the
		-- deletion ends the use, but the daemon may have asked before it got the report.
		local account, its_host = username, host;
		if purpose == "contact" then account, its_host = jid.split(attr.contact); end
		if not is_deleted and its_host == host and account
		and (unreported["deleted "..account] or (late_until:get(account) or 0) > now()) then
			return nil, gate.accounts_unavailable;
		end
		if purpose == "reset" or is_deleted then
			exists, is_doubtful = true, false;
		elseif exists and purpose == "contact" then
			local request = st.presence({ type = "subscribe", from = attr.contact, to = username.."@"..host });
			failed, text = grants.approve(name, username, attr.contact, request);
		elseif exists then
			failed, text = grants.give(name, username, question);
		end
		if exists == nil then return nil, gate.accounts_unavailable; end
		if text then return nil, gate.error("wait", "internal-server-error", text); end
		-- From now on, a late `create` for this reservation is refused.
		gate.finish(name, exists and "made" or is_doubtful and "doubtful" or "not-made", false, failed);
		return fate(exists and "made" or "not-made", failed, { doubtful = is_doubtful and "true" or nil });
	end);

	---- `create`
	local given_up = gate.error("wait", "resource-constraint", "This registration was given up. Please try again.");
	local no_account = gate.error("cancel", "item-not-found", "There is no such account any more");
	local not_stored = gate.error("wait", "internal-server-error", "The account cannot be stored");
	local invalid_username = gate.error("modify", "jid-malformed", "The requested username is invalid.");

	-- Returns the payload of the answer, or nil and the error; and texts of what failed for good.
	-- It calls `on_begin` when it begins to store the account. Other modules may wait within it.
	local function create(question, on_begin)
		local attr = question.attr;
		local username, is_reset = attr.username, attr.purpose == "reset";
		local ip = attr.address or "::"; -- no address (RFC 4291 §2.5.2): the server's limits count all such as one
		local session = make_session(ip, function (...) module:log(...); end);
		local event = { username = username, password = question:get_child_text("password"), host = host;
			ip = ip, session = session, additional = {}, role = role_of_newcomers, is_by_daemon = true;
			allowed = true, allow_reset = is_reset and username or nil };
		if accounts.never(attr.purpose) then return nil, gate.never; end
		local ok, text = accounts.check_password(username, event.password);
		if not ok then return nil, gate.error("modify", "policy-violation", text); end
		if not is_reset then
			event.additional, text = accounts.read_answers(question:get_child("x", "jabber:x:data"));
			if not event.additional then return nil, gate.error("modify", "not-acceptable", text); end
		end
		module:fire_event("user-registering", event);
		if not event.allowed then
			local err = event.error or { type = event.error_type, condition = event.error_condition };
			return nil, gate.error(err.type or "modify", err.condition or "not-acceptable", err.text or event.reason);
		end
		if gate.is_closed or gate.fate(attr.reservation) ~= "in-flight" then return nil, given_up; end
		local exists = accounts.exists(username);
		if exists == nil then return nil, gate.accounts_unavailable; end
		if exists and not is_reset then return nil, gate.username_taken; end
		if is_reset and not exists then return nil, no_account; end
		grants.choose_role(event, question);
		if not is_reset and not accounts.begin(username) then return nil, gate.accounts_unavailable; end
		on_begin();
		storing = username;
		local is_stored, is_never = accounts.store(event);
		storing = nil;
		if is_stored == nil then return fate("in-flight"); end
		if not is_stored then return nil, is_never and gate.never or not_stored; end
		module:log("info", "%s has %s in a browser", username, is_reset and "set a new password" or "registered");
		if is_reset then
			module:fire_event("user-password-reset", event);
			return fate("made");
		end
		local failed = grants.give(attr.reservation, username, question, gate.pause);
		module:fire_event("user-registered", { username = username, host = host, source = "mod_"..module.name;
			ip = event.ip, session = session });
		return fate(failed and "made" or "unfinished", failed), nil, failed;
	end

	gate.hook("set", "create", function (question, event)
		local attr = question.attr;
		local name, purpose, password = attr.reservation, attr.purpose, question:get_child_text("password");
		local is_known = purpose == "register" or purpose == "reset";
		if not name or not attr.username or not is_known or not password or password == "" then return; end
		if attr.server ~= gate.server_id then return fate("elsewhere"); end
		local known = gate.fate(name);
		if known == "not-made" or known == "doubtful" then return nil, given_up; end
		if known then return fate("in-flight"); end
		if not accounts.is_possible(attr.username) then
			gate.finish(name, "not-made");
			return nil, invalid_username;
		end
		gate.begin(name);
		local is_begun = false;
		local function conclude(payload, err, failed)
			local is = payload and payload.attr.is or "not-made";
			gate.finish(name, is == "in-flight" and "unknown" or is, false, failed);
			gate.reply(event, payload, err);
		end
		local runner = async.runner(function ()
			conclude(create(question, function () is_begun = true; end));
		end, { error = function (_, problem)
			storing = nil;
			module:log("error", "Could not create %s: %s", attr.username, problem);
			local is_nothing_left = not is_begun or purpose == "register" and accounts.failed(attr.username, password);
			conclude(not is_nothing_left and fate("in-flight") or nil, gate.accounts_unavailable);
		end });
		gate.take_turn(function () runner:run(true); end);
		return true;
	end);
end;
