-- What the daemon asks this hook: about accounts, about reservations, and to make an account for somebody in a browser.

local async = require "util.async";
local jid = require "util.jid";
local st = require "util.stanza";

local host = module.host;

return function (gate, accounts)
	local function timestamp(time) -- without a time: of now
		return os.date("!%Y-%m-%dT%H:%M:%SZ", time);
	end

	---- Deleted accounts (§ 7)

	-- One table for the host, since what is stored for a username is deleted with the account.
	local deletions = module:open_store("easy_invite_deleted");
	local untold = deletions:get(nil) or {}; -- [username] = when the account was deleted
	local is_telling = false;

	local function keep_untold()
		local ok, err = deletions:set(nil, next(untold) and untold or nil);
		if not ok then module:log("error", "Could not note which accounts were deleted: %s", err); end
	end

	-- One after the other: there may be many.
	local function tell_of_deletions()
		local username, time = next(untold);
		if is_telling or not username then
			return;
		end
		is_telling = true;
		local report = st.stanza("deleted", { xmlns = gate.xmlns, username = username, ["deleted-at"] = time });
		gate.ask("set", report, function (answer)
			is_telling = false;
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
		untold[username] = timestamp();
		keep_untold();
		tell_of_deletions();
	end

	module:hook_global("user-deleted", function (event)
		if event.host == host then note_deletion(event.username); end
	end);

	---- Questions about accounts and reservations

	local of_another_server = { type = "cancel", condition = "not-allowed";
		text = "Another server made this reservation" };

	gate.hook_question("get", "hello", function ()
		tell_of_deletions();
		return st.stanza("hello", { xmlns = gate.xmlns, software = "Prosody "..prosody.version, server = gate.server_id });
	end);

	gate.hook_question("get", "account", function (question)
		local username = question.attr.username;
		if not username then
			return;
		elseif not accounts.is_possible(username) then
			return st.stanza("account", { xmlns = gate.xmlns, exists = "false", admin = "false", impossible = "true" });
		end
		local exists = accounts.exists(username);
		if exists == nil then
			return nil, gate.nobody_can_tell;
		end
		local created = exists and accounts.created_at(username);
		return st.stanza("account", { xmlns = gate.xmlns, exists = exists and "true" or "false";
			admin = exists and accounts.is_admin(username.."@"..host) and "true" or "false";
			["created-at"] = created and timestamp(created) or nil });
	end);

	gate.hook_question("set", "settle", function (question)
		local attr = question.attr;
		local name, purpose, account, inviter = attr.reservation, attr.purpose, attr.account, attr.inviter;
		local server = attr.server or "";
		local fate, exists;
		if not name or not account then
			return;
		elseif server ~= "" and server ~= gate.server_id then
			return nil, of_another_server;
		elseif gate.is_in_flight(name) then
			return st.stanza("fate", { xmlns = gate.xmlns, is = "in-flight" });
		elseif gate.fates:get(name) == "not-made" then
			fate = "not-made"; -- an account of that name was made otherwise
		elseif purpose == "reset" then
			fate = "made"; -- nobody can tell, and a link must not reset twice
		elseif purpose == "register" and jid.host(account) == host then
			local username = jid.node(account);
			accounts.finish_creation(username);
			exists = accounts.exists(username);
			if exists and not accounts.give(username, accounts.read_grants(question)) then exists = nil; end
		elseif purpose == "contact" and jid.host(inviter) == host then
			exists = accounts.exists(jid.node(inviter));
			if exists then
				accounts.approve(jid.node(inviter), account, st.presence({ type = "subscribe", from = account, to = inviter }));
			end
		else
			return;
		end
		if not fate and exists == nil then
			return nil, gate.nobody_can_tell;
		end
		fate = fate or exists and "made" or "not-made";
		gate.fates:set(name, fate); -- a `create` that is still on its way comes too late
		return st.stanza("fate", { xmlns = gate.xmlns, is = fate });
	end);

	---- Somebody registers in a browser (§ "create")

	local role_of_newcomers = module:get_option_string("register_ibr_default_role", "prosody:registered"); -- of Prosody 13

	local ask_later = st.stanza("fate", { xmlns = gate.xmlns, is = "in-flight" });
	local was_given_up = { type = "wait", condition = "resource-constraint";
		text = "This registration was given up. Please try again." };
	local not_stored = { type = "wait", condition = "internal-server-error";
		text = "The account cannot be stored. Please try again later." };
	local name_is_none = { type = "modify", condition = "jid-malformed", text = "The requested username is invalid." };
	local name_is_taken = { type = "cancel", condition = "conflict", text = "The requested username already exists." };
	local nobody_to_reset = { type = "cancel", condition = "item-not-found", text = "There is no such account any more" };

	-- Other modules want to know the session of a registration. A browser has none.
	local function stand_in(address)
		local function nothing() end
		return { type = "c2s_unauthed", host = host, ip = address, secure = true, is_by_daemon = true;
			send = nothing, close = nothing, log = function (...) module:log(...); end };
	end

	-- Returns the payload of the answer, or nil and the error. Runs in a coroutine, since other modules may want to wait.
	local function create(reservation, question)
		local username, purpose, granted = reservation.username, reservation.purpose, reservation.granted;
		local event = {
			username = username, password = question:get_child_text("password"), host = host, additional = {}, allowed = true;
			ip = question.attr.address, session = stand_in(question.attr.address);
			allow_reset = purpose == "reset" and username or nil, role = role_of_newcomers;
		};
		local ok, text = accounts.check_password(username, event.password);
		if not ok then
			return nil, { type = "modify", condition = "policy-violation", text = text };
		end
		module:fire_event("user-registering", event);
		if not event.allowed then
			local err = event.error or { type = event.error_type, condition = event.error_condition, text = event.reason };
			return nil, { type = err.type or "modify", condition = err.condition or "not-acceptable", text = err.text };
		elseif gate.is_closed() or not gate.is_in_flight(reservation.name) then -- the daemon may have been told "not made"
			return nil, was_given_up;
		end
		local exists = accounts.exists(username);
		if exists == nil then
			return nil, gate.nobody_can_tell;
		elseif exists ~= (purpose == "reset") then
			return nil, exists and name_is_taken or nobody_to_reset;
		end

		accounts.choose_role(event, granted.roles[1]);
		reservation.may_be_made = true; -- should anything raise an error from here on
		local stored = accounts.store(event);
		if not stored then
			return stored == nil and ask_later or nil, not_stored;
		end
		module:log("info", "By invitation, %s has %s in a browser", username,
			purpose == "register" and "registered" or "set a new password");
		local answer = st.stanza("created", { xmlns = gate.xmlns });
		if purpose == "reset" then
			module:fire_event("user-password-reset", event);
			return answer;
		end
		if not accounts.give(username, granted, gate.let_others_have_a_turn) then answer.attr.settled = "false"; end
		module:fire_event("user-registered", { username = username, host = host, source = "mod_"..module.name;
			ip = event.ip, session = event.session });
		return answer;
	end

	gate.hook("set", "create", function (event, question)
		local name, username, purpose = question.attr.reservation, question.attr.username, question.attr.purpose;
		if not name or not username or not (purpose == "register" or purpose == "reset")
		or not question:get_child("password") then
			gate.reply(event);
		elseif question.attr.server ~= gate.server_id then
			gate.reply(event, nil, of_another_server);
		elseif gate.fates:get(name) == "not-made" then
			gate.reply(event, nil, was_given_up);
		elseif gate.has_begun(name) or gate.fates:get(name) then
			gate.reply(event, ask_later);
		elseif not accounts.is_possible(username) then
			gate.fates:set(name, "not-made");
			gate.reply(event, nil, name_is_none);
		else
			local reservation = gate.begin(name);
			reservation.username, reservation.purpose, reservation.granted = username, purpose, accounts.read_grants(question);
			local function conclude(payload, err)
				gate.finish(reservation, payload and "made" or "not-made");
				gate.reply(event, payload, err);
			end
			local runner = async.runner(function ()
				conclude(create(reservation, question));
			end, { error = function (_, problem)
				module:log("error", "Could not create %s: %s", username, problem);
				conclude(reservation.may_be_made and ask_later or nil, gate.nobody_can_tell);
			end });
			gate.take_turn(function () runner:run(true); end);
		end
	end);
	return note_deletion;
end;
