-- What an invite grants: roles, groups and contacts. Each grant is given by itself. A grant that
-- was given is recorded and not given again, since the user may have left the group meanwhile.

local modulemanager = require "core.modulemanager";
local rostermanager = require "core.rostermanager";
local usermanager = require "core.usermanager";
local cache = require "util.cache";
local errors = require "util.error";
local jid = require "util.jid";
local st = require "util.stanza";

local max_failures, min_failing_time = 3, 30; -- then a grant has failed for good; seconds
local max_reason_bytes = 200;
local host = module.host;

return function (gate, accounts)
	local grants = {};

	---- What has become of each grant of a reservation
	-- A record has tables by the grant's task, such as 'add carol to the group "family"'.
	local records = cache.new(2000); -- [reservation] = { given, failed (reasons), failing (how often, since when) }
	local notes = module:open_store("easy_invite_grants"); -- [username] = { [reservation] = record }

	local function read_notes(username)
		local ok, noted = pcall(notes.get, notes, username);
		return ok and noted or {};
	end

	local function recall(reservation, username)
		local record = records:get(reservation) or read_notes(username)[reservation]
			or { given = {}, failed = {}, failing = {} };
		records:set(reservation, record);
		return record;
	end

	-- Stores a record with the account, or removes it if it is nil. Returns whether that is on the
	-- disk.
	local function note(reservation, username, record)
		local noted = read_notes(username);
		noted[reservation] = record;
		local ok, is_stored = pcall(notes.set, notes, username, next(noted) and noted or nil);
		return ok and is_stored;
	end

	local function for_now(text) return gate.error("wait", "internal-server-error", text); end
	local function for_good(text) return gate.error("cancel", "item-not-found", text); end
	local known_errors = { -- which Prosody's modules return as texts
		["Error saving to storage"] = for_now("it cannot be stored");
		["internal-server-error"] = for_now("it cannot be stored");
		["group-not-found"] = for_good("there is no such group");
	};

	-- Returns a text for a stanza: only ASCII, since an error may have any bytes.
	local function reason_of(problem)
		local text = errors.is_error(problem) and (problem.text or problem.condition) or tostring(problem);
		return text:gsub("[^\32-\126]+", " "):sub(1, max_reason_bytes);
	end

	local function fail(record, task, problem)
		record.failed[task], record.failing[task] = reason_of(problem), nil;
		module:log("error", "Could not %s: %s", task, record.failed[task]);
	end

	-- Gives what is neither given nor failed for good. Returns [task] = error for what cannot be
	-- given now.
	local function try(record, list)
		local open = {};
		for _, grant in ipairs(list) do
			local task = grant.task;
			if not record.given[task] and not record.failed[task] then
				local ok, is_given, problem = pcall(grant.give);
				if not ok then problem = is_given; end
				problem = known_errors[problem] or problem;
				if ok and is_given then
					record.given[task], record.failing[task] = true, nil;
				elseif errors.is_error(problem) and problem.type ~= "wait" then
					fail(record, task, problem);
				else
					open[task] = problem or "no reason is known";
				end
			end
		end
		return open;
	end

	-- A failure counts only if the record can be stored. Otherwise, the storage may be the reason
	-- for it.
	local function count_failures(reservation, username, record, open)
		local before, time = record.failing, os.time();
		record.failing, record.is_noted = {}, true;
		for task, problem in pairs(open) do
			local earlier = before[task] or { times = 0, since = time };
			local times = earlier.times + (errors.is_error(problem) and 0 or 1);
			record.failing[task] = { times = times, since = math.min(earlier.since, time) };
		end
		if not note(reservation, username, record) then
			record.failing = before;
			return;
		end
		for task, failing in pairs(record.failing) do
			if failing.times >= max_failures and time - failing.since >= min_failing_time then
				fail(record, task, open[task]);
				open[task] = nil;
			end
		end
	end

	-- Returns a text for each grant that failed for good; or nil, and a text that says why the rest
	-- cannot be given yet.
	local function conclude(reservation, username, record, open)
		if next(open) then count_failures(reservation, username, record, open); end
		if record.is_noted then note(reservation, username, next(open) and record or nil); end
		local texts = {};
		for task, problem in pairs(open) do
			table.insert(texts, ("Could not %s yet: %s"):format(task, reason_of(problem)));
		end
		if texts[1] then return nil, table.concat(texts, ". "); end
		for task, reason in pairs(record.failed) do
			table.insert(texts, ("could not %s: %s"):format(task, reason));
		end
		table.sort(texts);
		return texts;
	end

	---- Roles
	local function find_role(name)
		local ok, role = pcall(usermanager.get_role_by_name, name, host); -- which raises an error for an unknown one
		return ok and role;
	end

	-- Prosody 13 creates an account with a role. If the granted role allows less than the usual
	-- one, the account is created with it: no error may leave the account with more rights. Other
	-- roles are given afterwards.
	function grants.choose_role(event, granted)
		local name = granted:get_child_text("role");
		local role, usual = name and find_role(name), event.role and find_role(event.role);
		if role and usual and accounts.priority(role) < accounts.priority(usual) then event.role = name; end
	end

	local function give_role(username, name, is_primary)
		if not usermanager.set_user_role then -- Prosody 0.12
			local account, all = username.."@"..host, {};
			for role, has in pairs(usermanager.get_roles(account, host) or {}) do all[role] = has; end
			if all[name] then return true; end
			all[name] = true;
			local ok, err = usermanager.set_roles(account, host, all);
			if not ok or all["prosody:admin"] then return ok, err; end
			if (usermanager.get_roles(account, host) or {})[name] then return true; end -- set_roles always returns true
			return nil, for_now("it cannot be stored");
		end
		if not find_role(name) then return nil, for_good("there is no such role"); end
		if not is_primary then return usermanager.add_user_secondary_role(username, host, name); end
		local primary = usermanager.get_user_role(username, host);
		if primary and primary.name == name then return true; end -- setting it again would end the account's sessions
		return usermanager.set_user_role(username, host, name);
	end

	---- Groups
	local function join_group(username, group)
		local provider = modulemanager.get_module(host, "groups_internal");
		if not provider then return nil, for_good("mod_groups_internal is not enabled"); end
		return provider.add_member(group, username);
	end

	---- Contacts
	function grants.are_contacts(username, contact)
		local item = rostermanager.load_roster(username, host)[contact];
		return item and item.subscription == "both";
	end

	-- If Prosody cannot read a contact list, it caches an empty one. So this reads it again.
	local function load_roster(username, its_host)
		local account, cached = username.."@"..its_host, prosody.hosts[its_host].roster_cache;
		local roster = rostermanager.load_roster(username, its_host);
		if not roster[false].broken or not cached or prosody.bare_sessions[account] then return roster; end
		cached:set(account, nil);
		return (rostermanager.load_roster(username, its_host));
	end

	-- Gives the contact at least this subscription, "both" or "from". If the contact list cannot be
	-- stored, it also stays unchanged in memory.
	local function subscribe(username, its_host, contact, wanted)
		local roster = load_roster(username, its_host);
		local pending, before, item = roster[false].pending, roster[contact], { subscription = "none", groups = {} };
		for key, value in pairs(before or {}) do item[key] = value; end
		if item.subscription == "both" or item.subscription == wanted then return true; end
		item.subscription = (wanted == "both" or item.subscription == "to") and "both" or "from";
		if item.subscription == "both" then item.ask = nil; end
		local request = pending[contact];
		roster[contact], pending[contact] = item, nil;
		local ok, is_saved, err = pcall(rostermanager.save_roster, username, its_host, roster, contact);
		if not ok or not is_saved then
			roster[contact], pending[contact] = before, request;
			return nil, for_now("the contact list cannot be stored: "..tostring(not ok and is_saved or err));
		end
		rostermanager.roster_push(username, its_host, contact);
		return true;
	end

	local function contact_task(contact, account) return ("make %s a contact of %s"):format(contact, account); end

	-- The grants that make the new account and the contact, who is also on this host, contacts.
	local function befriend(username, contact)
		local account, contact_name = username.."@"..host, jid.node(contact);
		local exists, is_doubtful = accounts.exists(contact_name);
		if exists == false and not is_doubtful then
			module:log("info", "%s, who invited %s, has no account any more", contact, account);
		end
		local function give(owner, other)
			if exists == nil or is_doubtful then return nil, for_now("it is unknown whether there is "..contact); end
			if not exists then return true; end
			return subscribe(owner, host, other, "both");
		end
		return {
			{ task = contact_task(contact, account), give = function () return give(username, contact); end };
			{ task = contact_task(account, contact), give = function () return give(contact_name, account); end };
		};
	end

	-- The account may be online already if its contact was delayed.
	local function exchange_presence(account, contact)
		module:send(st.presence({ type = "probe", from = account, to = contact }));
		module:send(st.presence({ type = "probe", from = contact, to = account }));
	end

	---- All of it
	-- Gives a new account what the element `granted` lists. Returns the same as `conclude`. Before
	-- it writes the contact lists, it calls `pause`, which may wait, and so is outside of each
	-- pcall.
	function grants.give(reservation, username, granted, pause)
		local record, list, contact = recall(reservation, username), {}, granted.attr.contact;
		for child in granted:childtags("role") do
			local role, is_primary = child:get_text(), not list[1];
			table.insert(list, { task = ("give %s the role \"%s\""):format(username, role);
				give = function () return give_role(username, role, is_primary); end });
		end
		for child in granted:childtags("group") do
			local group = child:get_text();
			table.insert(list, { task = ("add %s to the group \"%s\""):format(username, group);
				give = function () return join_group(username, group); end });
		end
		local open = try(record, list);
		if contact and pause then pause(); end
		if contact and accounts.exists(username) ~= false then -- it may have been deleted meanwhile
			local both = befriend(username, contact);
			local was_given = record.given[both[2].task];
			for task, problem in pairs(try(record, both)) do open[task] = problem; end
			if record.given[both[1].task] and record.given[both[2].task] and not was_given then
				exchange_presence(username.."@"..host, contact);
			end
		end
		return conclude(reservation, username, record, open);
	end

	-- Accepts the contact for the account. If the contact is on this server, also makes the account
	-- a contact of theirs, otherwise asks them. `presence` is the contact's request. Returns the
	-- same as `conclude`.
	function grants.approve(reservation, username, contact, presence, origin)
		local account, contact_name, contact_host = username.."@"..host, jid.split(contact);
		local record, is_here = recall(reservation, username), accounts.exists(contact_name, contact_host);
		local own, theirs = contact_task(contact, account), contact_task(account, contact);
		local function accept()
			if is_here == nil then return nil, for_now("it is unknown whether there is "..contact); end
			return subscribe(username, host, contact, is_here and "both" or "from");
		end
		local function take()
			-- The approval goes first, since clients ignore one that they do not wait for. The
			-- contact's own list comes second: mod_presence reads the list of the one of the two
			-- who is online.
			module:send(st.presence({ type = "subscribed", from = account, to = contact }));
			return subscribe(contact_name, contact_host, account, "both");
		end
		local function answer()
			if not record.given[own] and not record.failed[own] then
				return nil, for_now("the approval comes first");
			end
			-- If it is approved, mod_presence answers it and exchanges presence; otherwise it asks
			-- the user.
			module:send(presence, origin);
			if is_here or record.failed[own] or rostermanager.is_user_subscribed(username, host, contact)
			or rostermanager.is_contact_pending_out(username, host, contact) then
				return true;
			end
			if not rostermanager.set_contact_pending_out(username, host, contact) then
				return nil, for_now("the contact list cannot be stored");
			end
			rostermanager.roster_push(username, host, contact);
			module:send(st.presence({ type = "subscribe", from = account, to = contact }));
			return true;
		end
		local list = { { task = own, give = accept } };
		if is_here then table.insert(list, { task = theirs, give = take }); end
		table.insert(list, { task = ("answer the request of %s to %s"):format(contact, account), give = answer });
		return conclude(reservation, username, record, try(record, list));
	end

	return grants;
end;
