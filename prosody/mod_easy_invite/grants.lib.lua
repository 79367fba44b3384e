-- What an invite grants: roles, groups and contacts. Each grant is tried by itself. What is given
-- is remembered, and not given again: the user may have left the group since.

local modulemanager = require "core.modulemanager";
local rostermanager = require "core.rostermanager";
local usermanager = require "core.usermanager";
local cache = require "util.cache";
local errors = require "util.error";
local jid = require "util.jid";
local st = require "util.stanza";

local most_failures, least_time = 3, 30; -- a grant is given up after so many, over so many seconds or more
local longest_reason = 200; -- bytes
local host = module.host;

return function (accounts)
	local grants = {};

	---- What has become of each grant of a reservation
	local records = cache.new(2000); -- [reservation] = { given, failed, failing } by what is to be done
	local notes = module:open_store("easy_invite_grants"); -- of accounts, and goes with them: [reservation] = record

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

	-- Returns whether it is on the disk.
	local function note(reservation, username, record)
		local noted = read_notes(username);
		noted[reservation] = record;
		local ok, is_stored = pcall(notes.set, notes, username, next(noted) and noted or nil);
		return ok and is_stored;
	end

	local function for_now(text)
		return errors.new({ type = "wait", condition = "internal-server-error", text = text });
	end
	local function for_good(text)
		return errors.new({ type = "cancel", condition = "item-not-found", text = text });
	end
	local meant_by = { -- what Prosody's parts say as a mere text
		["Error saving to storage"] = for_now("it cannot be stored");
		["internal-server-error"] = for_now("it cannot be stored");
		["group-not-found"] = for_good("there is no such group");
	};

	-- Only ASCII: a text may hold any bytes, and goes into a stanza.
	local function reason_of(problem)
		local text = errors.is_error(problem) and (problem.text or problem.condition) or tostring(problem);
		return text:gsub("[^\32-\126]+", " "):sub(1, longest_reason);
	end

	local function fail(record, to_do, problem)
		record.failed[to_do], record.failing[to_do] = reason_of(problem), nil;
		module:log("error", "Could not %s: %s", to_do, record.failed[to_do]);
	end

	-- Tries what is neither given nor given up, and returns what cannot be done now, and why.
	local function try(record, list)
		local open = {};
		for _, grant in ipairs(list) do
			local to_do = grant.to_do;
			if not record.given[to_do] and not record.failed[to_do] then
				local ok, is_given, problem = pcall(grant.give);
				if not ok then problem = is_given; end
				problem = meant_by[problem] or problem;
				if ok and is_given then
					record.given[to_do], record.failing[to_do] = true, nil;
				elseif errors.is_error(problem) and problem.type ~= "wait" then
					fail(record, to_do, problem);
				else
					open[to_do] = problem or "nobody knows why";
				end
			end
		end
		return open;
	end

	-- A failure counts only if it can be noted: what cannot be stored now may be stored later.
	local function count_failures(reservation, username, record, open)
		local before, time = record.failing, os.time();
		record.failing, record.is_noted = {}, true;
		for to_do, problem in pairs(open) do
			local earlier = before[to_do] or { times = 0, since = time };
			local times = earlier.times + (errors.is_error(problem) and 0 or 1);
			record.failing[to_do] = { times = times, since = math.min(earlier.since, time) };
		end
		if not note(reservation, username, record) then
			record.failing = before;
			return;
		end
		for to_do, failing in pairs(record.failing) do
			if failing.times >= most_failures and time - failing.since >= least_time then
				fail(record, to_do, open[to_do]);
				open[to_do] = nil;
			end
		end
	end

	-- Returns a text for each grant that failed for good, once nothing is left to try. Until then:
	-- nil, and why not.
	local function conclude(reservation, username, record, open)
		if next(open) then count_failures(reservation, username, record, open); end
		if record.is_noted then note(reservation, username, next(open) and record or nil); end
		local texts = {};
		for to_do, problem in pairs(open) do
			table.insert(texts, ("Could not %s yet: %s"):format(to_do, reason_of(problem)));
		end
		if texts[1] then return nil, table.concat(texts, ". "); end
		for to_do, reason in pairs(record.failed) do
			table.insert(texts, ("could not %s: %s"):format(to_do, reason));
		end
		table.sort(texts);
		return texts;
	end

	---- Roles
	local function find_role(name)
		local ok, role = pcall(usermanager.get_role_by_name, name, host); -- which raises an error for an unknown one
		return ok and role;
	end

	-- Prosody 13 creates an account with a role. One that allows less than the usual one is given
	-- then: no error may leave the account with more. All others are given afterwards.
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
			if (usermanager.get_roles(account, host) or {})[name] then return true; end -- it says true in any case
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

	-- Prosody remembers a contact list that it could not read, as an empty one.
	local function load_roster(username, its_host)
		local account, remembered = username.."@"..its_host, prosody.hosts[its_host].roster_cache;
		local roster = rostermanager.load_roster(username, its_host);
		if not roster[false].broken or not remembered or prosody.bare_sessions[account] then return roster; end
		remembered:set(account, nil);
		return (rostermanager.load_roster(username, its_host));
	end

	-- Gives the account's contact at least this subscription, "both" or "from". If the contact list
	-- cannot be written, it stays as it was in memory too.
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

	local function to_make_contact(contact, account) return ("make %s a contact of %s"):format(contact, account); end

	-- What makes a new account and the contact, who is of this host too, contacts of each other.
	local function befriend(username, contact)
		local account, contact_name = username.."@"..host, jid.node(contact);
		local exists, is_doubtful = accounts.exists(contact_name);
		if exists == false and not is_doubtful then
			module:log("info", "%s, who invited %s, has no account any more", contact, account);
		end
		local function give(owner, other)
			if exists == nil or is_doubtful then return nil, for_now("nobody can tell whether there is "..contact); end
			if not exists then return true; end
			return subscribe(owner, host, other, "both");
		end
		return {
			{ to_do = to_make_contact(contact, account), give = function () return give(username, contact); end };
			{ to_do = to_make_contact(account, contact), give = function () return give(contact_name, account); end };
		};
	end

	-- The account may be online, if something has delayed its contact.
	local function exchange_presence(account, contact)
		module:send(st.presence({ type = "probe", from = account, to = contact }));
		module:send(st.presence({ type = "probe", from = contact, to = account }));
	end

	---- All of it
	-- Gives a new account what `granted`, an element of the gate, holds. `pause` is called before
	-- the contact lists are written, outside of every pcall: in Lua 5.1 none can wait within one.
	-- Returns as `conclude`.
	function grants.give(reservation, username, granted, pause)
		local record, list, contact = recall(reservation, username), {}, granted.attr.contact;
		for child in granted:childtags("role") do
			local role, is_primary = child:get_text(), not list[1];
			table.insert(list, { to_do = ("give %s the role \"%s\""):format(username, role);
				give = function () return give_role(username, role, is_primary); end });
		end
		for child in granted:childtags("group") do
			local group = child:get_text();
			table.insert(list, { to_do = ("add %s to the group \"%s\""):format(username, group);
				give = function () return join_group(username, group); end });
		end
		local open = try(record, list);
		if contact and pause then pause(); end
		if contact and accounts.exists(username) ~= false then -- it may have been deleted again, and the use stays used
			local both = befriend(username, contact);
			local was_given = record.given[both[2].to_do];
			for to_do, problem in pairs(try(record, both)) do open[to_do] = problem; end
			if record.given[both[1].to_do] and record.given[both[2].to_do] and not was_given then
				exchange_presence(username.."@"..host, contact);
			end
		end
		return conclude(reservation, username, record, open);
	end

	-- The account accepts the contact, and asks for the other direction, or takes it where the
	-- contact is of this server. `presence` is the contact's request. Returns as `conclude`.
	function grants.approve(reservation, username, contact, presence, origin)
		local account, contact_name, contact_host = username.."@"..host, jid.split(contact);
		local record, is_here = recall(reservation, username), accounts.exists(contact_name, contact_host);
		local own, theirs = to_make_contact(contact, account), to_make_contact(account, contact);
		local function accept()
			if is_here == nil then return nil, for_now("nobody can tell whether there is "..contact); end
			return subscribe(username, host, contact, is_here and "both" or "from");
		end
		local function take()
			-- Clients notice an approval only while they wait for one, so it goes first.
			-- The contact's own list comes second: mod_presence reads the list of whichever of the
			-- two is online.
			module:send(st.presence({ type = "subscribed", from = account, to = contact }));
			return subscribe(contact_name, contact_host, account, "both");
		end
		local function answer()
			if not record.given[own] and not record.failed[own] then
				return nil, for_now("it comes after the approval");
			end
			-- mod_presence answers it as approved, and exchanges presence; or asks the user.
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
		local list = { { to_do = own, give = accept } };
		if is_here then table.insert(list, { to_do = theirs, give = take }); end
		table.insert(list, { to_do = ("answer the request of %s to %s"):format(contact, account), give = answer });
		return conclude(reservation, username, record, try(record, list));
	end

	return grants;
end;
