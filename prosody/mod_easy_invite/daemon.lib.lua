-- What the daemon asks this hook, and what it is told about deleted accounts (docs/gate.md).

local async = require "util.async";
local datetime = require "util.datetime".datetime;
local st = require "util.stanza";

local host = module.host;
local role_of_newcomers = module:get_option_string("register_ibr_default_role", "prosody:registered"); -- of Prosody 13

return function (gate, accounts)
	local was_given_up = gate.error("wait", "resource-constraint", "This registration was given up. Please try again.");

	---- `deleted`: one table for the host, since what is stored for a username goes with the account

	local store = module:open_store("easy_invite_deleted");
	local untold = store:get(nil) or {}; -- [username] = when the account was deleted
	local is_telling = false;

	local function note(username, time)
		untold[username] = time;
		local ok, err = store:set(nil, next(untold) and untold or nil);
		if not ok then module:log("error", "Could not note which accounts were deleted: %s", err); end
	end

	local function tell_of_deletions() -- one after the other: there may be many
		local username, time = next(untold);
		if is_telling or not username then return; end
		is_telling = true;
		gate.ask("set", gate.element("deleted", { username = username, ["deleted-at"] = time }), function (answer)
			is_telling = false;
			if answer.refusal and answer.refusal.type == "modify" then
				module:log("error", "The daemon cannot read that %s was deleted: %s", username, answer.refusal.text);
			elseif not answer.payload then
				return; -- again at the next hello
			end
			if untold[username] == time then note(username, nil); end
			tell_of_deletions();
		end);
	end

	module:hook_global("user-deleted", function (event)
		if event.host ~= host then return; end
		note(event.username, datetime());
		tell_of_deletions();
	end);

	gate.hook("get", "hello", function ()
		tell_of_deletions();
		return gate.element("hello", { software = "Prosody "..prosody.version, server = gate.server_id });
	end);

	gate.hook("get", "account", function (question)
		local username = question.attr.username;
		if not username then return; end
		local is_possible = accounts.is_possible(username);
		local exists = is_possible and accounts.exists(username);
		if exists == nil then return nil, gate.nobody_can_tell; end
		local created = exists and accounts.created_at(username);
		return gate.element("account", { exists = tostring(exists), impossible = not is_possible and "true" or nil;
			admin = tostring(exists and accounts.is_admin(username) or false);
			["created-at"] = created and datetime(math.floor(created)) or nil });
	end);

	---- `settle`

	local function fate(is, is_doubtful)
		return gate.element("fate", { is = is, doubtful = is_doubtful and "true" or nil });
	end

	-- Finishes what was reserved for an account, if that exists. Returns whether it does, or nil
	-- where nobody can tell.
	local function finish(username, purpose, contact, granted)
		if purpose == "register" then accounts.finish_creation(username); end
		local exists, is_doubtful = accounts.exists(username);
		if exists and purpose == "contact" then
			local request = st.presence({ type = "subscribe", from = contact, to = username.."@"..host });
			accounts.approve(username, contact, request);
		elseif exists and not accounts.give(username, granted) then
			return nil;
		end
		return exists, is_doubtful;
	end

	gate.hook("set", "settle", function (question)
		local attr = question.attr;
		local name, username, purpose = attr.reservation, attr.username, attr.purpose;
		local is_known = purpose == "register" or purpose == "reset" or purpose == "contact" and attr.contact;
		if not name or not username or not is_known then return; end
		if attr.server ~= gate.server_id then return fate("elsewhere"); end
		local known = gate.fate(name);
		if known == "in-flight" or known == "not-made" then return fate(known); end -- any account was made otherwise
		local exists, is_doubtful = true, false;
		if purpose ~= "reset" then
			exists, is_doubtful = finish(username, purpose, attr.contact, accounts.read_grants(question));
		end
		if exists == nil then return nil, gate.nobody_can_tell; end
		-- From now on a `create` that is still on its way comes too late.
		gate.finish(name, exists and "made" or is_doubtful and "doubtful" or "not-made");
		return fate(exists and "made" or "not-made", is_doubtful);
	end);

	---- `create`

	local function nothing() end

	-- Returns the payload of the answer, or nil and the error. Runs in a coroutine, since other
	-- modules may want to wait.
	local function create(question, may_be_made)
		local attr, granted = question.attr, accounts.read_grants(question);
		local username, is_reset = attr.username, attr.purpose == "reset";
		-- Other modules want to know the session of a registration. A browser has none.
		local session = { type = "c2s_unauthed", host = host, ip = attr.address, secure = true, send = nothing;
			close = nothing, log = function (...) module:log(...); end };
		local event = { username = username, password = question:get_child_text("password"), host = host;
			ip = attr.address, session = session, additional = {}, role = role_of_newcomers, is_by_daemon = true;
			allowed = true, allow_reset = is_reset and username or nil };
		local ok, text = accounts.check_password(username, event.password);
		if not ok then return nil, gate.error("modify", "policy-violation", text); end
		module:fire_event("user-registering", event);
		if not event.allowed then
			local err = event.error or { type = event.error_type, condition = event.error_condition, text = event.reason };
			return nil, gate.error(err.type or "modify", err.condition or "not-acceptable", err.text);
		elseif gate.is_closed or gate.fate(attr.reservation) ~= "in-flight" then -- it may be settled meanwhile
			return nil, was_given_up;
		end
		local exists = accounts.exists(username);
		if exists == nil then
			return nil, gate.nobody_can_tell;
		elseif exists and not is_reset then
			return nil, gate.error("cancel", "conflict", "The requested username already exists.");
		elseif is_reset and not exists then
			return nil, gate.error("cancel", "item-not-found", "There is no such account any more");
		end

		accounts.choose_role(event, granted);
		may_be_made();
		local is_stored = accounts.store(event);
		if is_stored == nil then return fate("in-flight"); end
		if not is_stored then return nil, gate.error("wait", "internal-server-error", "The account cannot be stored"); end
		module:log("info", "%s has %s by invitation, in a browser", username, is_reset and "a new password" or "registered");
		if is_reset then
			module:fire_event("user-password-reset", event);
			return fate("made");
		end
		local is_done = accounts.give(username, granted, gate.pause);
		module:fire_event("user-registered", { username = username, host = host, source = "mod_"..module.name;
			ip = event.ip, session = session });
		return fate(is_done and "made" or "unfinished");
	end

	gate.hook("set", "create", function (question, event)
		local attr = question.attr;
		local name, purpose, password = attr.reservation, attr.purpose, question:get_child_text("password");
		local is_known = purpose == "register" or purpose == "reset";
		if not name or not attr.username or not is_known or not password or password == "" then return; end
		if attr.server ~= gate.server_id then return fate("elsewhere"); end
		local known = gate.fate(name);
		if known == "not-made" or known == "doubtful" then
			return nil, was_given_up;
		elseif known then
			return fate("in-flight");
		elseif not accounts.is_possible(attr.username) then
			gate.finish(name, "not-made");
			return nil, gate.error("modify", "jid-malformed", "The requested username is invalid.");
		end
		gate.begin(name);
		local is_maybe_made = false;
		local function conclude(payload, err)
			gate.finish(name, payload and "made" or "not-made");
			gate.reply(event, payload, err);
		end
		local runner = async.runner(function ()
			conclude(create(question, function () is_maybe_made = true; end));
		end, { error = function (_, problem)
			module:log("error", "Could not create %s: %s", attr.username, problem);
			conclude(is_maybe_made and fate("in-flight") or nil, gate.nobody_can_tell);
		end });
		gate.take_turn(function () runner:run(true); end);
		return true;
	end);
end;
