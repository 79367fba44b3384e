-- What Prosody knows and does about accounts: whether one exists, making it, its contacts, roles and groups. It knows
-- nothing of the daemon.

local modulemanager = require "core.modulemanager";
local rostermanager = require "core.rostermanager";
local storagemanager = require "core.storagemanager";
local usermanager = require "core.usermanager";
local jid = require "util.jid";
local st = require "util.stanza";
local stringprep = require "util.encodings".stringprep;

local nodeprep, saslprep = stringprep.nodeprep, stringprep.saslprep;

local longest_creation = 60; -- seconds between the steps in which Prosody 13 makes an account

local host = module.host;
local records = module:open_store("accounts"); -- where mod_auth_internal_* keep them
local details = module:open_store("account_details"); -- of accounts that mod_register_ibr made

---- Whether an account exists

local function has_accounts(its_host)
	return prosody.hosts[its_host] and prosody.hosts[its_host].type == "local";
end

-- true, false, or nil where nobody can tell: usermanager says no as well where the storage fails.
local function exists(username, its_host)
	its_host = its_host or host;
	if not username or not has_accounts(its_host) then
		return false;
	end
	local ok, found = pcall(usermanager.user_exists, username, its_host);
	if not ok or found then
		return ok and true or nil;
	end
	local readable, record, problem = pcall(function ()
		return storagemanager.open(its_host, "accounts", "keyval"):get(username); -- as mod_auth_internal_* do
	end);
	if readable and record == nil and not problem then
		return false;
	end
end

local function is_possible(username)
	return username ~= "" and nodeprep(username, true) == username;
end

-- Prosody 13 notes the time with every account, and either version when somebody registers.
local function created_at(username)
	local record, detail = records:get(username), details:get(username);
	return record and record.created or detail and detail.registered;
end

-- Whether a JID, or the sender of an event's stanza, is an admin.
local function is_admin(who)
	if module.may then -- Prosody 13
		return module:may(":administer", who, true);
	end
	return usermanager.is_admin(type(who) == "string" and who or who.stanza.attr.from, host);
end

if module.default_permission then
	module:default_permission("prosody:admin", ":administer");
end

---- Making an account

local function check_password(username, password)
	local policy = modulemanager.get_module(host, "password_policy");
	local ok, text = saslprep(password), "There are characters in the password that cannot be used";
	if ok and policy and policy.check_password then
		ok, text = policy.check_password(password, { username = username });
	end
	return ok, text;
end

-- Prosody 13 makes an account in steps: disabled and without a password, then the password, then enabled. A crash
-- between them leaves an account that nobody can log in to. This removes or completes it. An account that an admin has
-- disabled since was changed long after it was made, by its own two timestamps, whatever was done to the clock.
local function finish_creation(username)
	local record = records:get(username);
	if not record or not record.disabled then
		return;
	elseif not (record.stored_key or record.password) then
		module:log("info", "Removing %s, the rest of a registration that was cut short", username);
		usermanager.get_provider(host).delete_user(username); -- without the event: nobody has ever used it
	elseif usermanager.enable_user and record.created and record.updated
	and math.abs(record.updated - record.created) < longest_creation then
		usermanager.enable_user(username, host);
	end
end

-- What mod_register_ibr does when a registration is allowed: `event` is that of user-registering. Returns true when the
-- account or its new password is stored, false when nothing is, nil where nobody can tell.
local function store(event)
	local username, is_reset = event.username, event.allow_reset == event.username;
	local ok, err;
	if is_reset then
		ok, err = usermanager.set_password(username, event.password, host);
	elseif usermanager.create_user_with_role then -- Prosody 13
		ok, err = usermanager.create_user_with_role(username, event.password, host, event.role);
	else
		ok, err = usermanager.create_user(username, event.password, host);
	end
	if ok and not is_reset then
		event.additional.registered = os.time();
		ok, err = details:set(username, event.additional);
		if not ok then usermanager.delete_user(username, host); end
	end
	if ok then
		return true;
	end
	module:log("error", "Could not store the account %s: %s", username, err);
	if is_reset then
		return false;
	end
	finish_creation(username);
	if exists(username) == false then
		return false;
	end
end

---- Contacts

local function are_contacts(username, contact)
	local item = rostermanager.load_roster(username, host)[contact];
	return item and item.subscription == "both";
end

-- Gives the account's contact at least this subscription: "both", or "from" (the contact sees the account, and the
-- other direction stays as it is). Name and groups of the contact stay. Where the contact list cannot be written, it
-- is left as it was in memory too, and this raises an error.
local function subscribe(username, its_host, contact, wanted)
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
		error(("Could not save %s in the contact list of %s@%s: %s"):format(
			contact, username, its_host, saved or "see above"), 0);
	end
	rostermanager.roster_push(username, its_host, contact);
end

-- Asks the contact for the other direction, unless the account has it or has asked already.
local function request(username, contact)
	if not rostermanager.is_user_subscribed(username, host, contact)
	and not rostermanager.is_contact_pending_out(username, host, contact)
	and rostermanager.set_contact_pending_out(username, host, contact) then
		rostermanager.roster_push(username, host, contact);
		module:send(st.presence({ type = "subscribe", from = username.."@"..host, to = contact }));
	end
end

-- A new account and its inviter, who is of this host too, become contacts.
local function befriend(username, inviter)
	local account, inviter_name = username.."@"..host, jid.node(inviter);
	if not exists(inviter_name) then
		module:log("info", "%s, who invited %s, has no account any more", inviter, account);
		return;
	end
	subscribe(username, host, inviter, "both");
	subscribe(inviter_name, host, account, "both");
	-- A new account is not online yet. But one whose contact a crash has prevented may be.
	module:send(st.presence({ type = "probe", from = account, to = inviter }));
	module:send(st.presence({ type = "probe", from = inviter, to = account }));
end

-- The account accepts the contact, whose request is `presence`.
local function approve(username, contact, presence, origin)
	local contact_name, contact_host = jid.split(contact);
	local is_here = exists(contact_name, contact_host);
	subscribe(username, host, contact, is_here and "both" or "from");
	if is_here then
		-- Clients notice an approval only while they wait for one, so it goes first. The contact's own list comes
		-- second: mod_presence looks into the list of whichever of the two is online.
		module:send(st.presence({ type = "subscribed", from = username.."@"..host, to = contact }));
		subscribe(contact_name, contact_host, username.."@"..host, "both");
	end
	module:send(presence, origin); -- mod_presence answers it as approved, and exchanges presence
	if not is_here then
		request(username, contact);
	end
end

---- Roles and groups

local function knows_role(role)
	local ok, found = pcall(usermanager.get_role_by_name, role, host); -- which raises an error for an unknown one
	return ok and found;
end

-- Prosody 13 creates an account with its primary role.
local function choose_role(event, role)
	if role and usermanager.set_user_role and knows_role(role) then event.role = role; end
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
			elseif not primary or primary.name ~= role then -- setting the same role again would end the account's sessions
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

---- What an invite grants to a new account

local function read_grants(element)
	local granted = { inviter = element.attr.inviter, roles = {}, groups = {} };
	for child in element:childtags("role") do table.insert(granted.roles, child:get_text()); end
	for child in element:childtags("group") do table.insert(granted.groups, child:get_text()); end
	return granted;
end

local function give_rights(username, granted)
	set_roles(username, granted.roles);
	join_groups(username, granted.groups);
end

-- Returns whether it is done. Repeating it changes nothing. `pause` is called before the contact lists are written.
-- (One pcall around all of it would not do: nothing can wait within one in Lua 5.1.)
local function give(username, granted, pause)
	local ok, err = pcall(give_rights, username, granted);
	if ok and granted.inviter then
		if pause then pause(); end
		if exists(username) ~= false then -- it may have been deleted again, which does not give the use back
			ok, err = pcall(befriend, username, granted.inviter);
		end
	end
	if not ok then
		module:log("error", "%s has an account, and not all that the invitation grants is done yet: %s", username, err);
	end
	return ok;
end

return {
	exists = exists, is_possible = is_possible, created_at = created_at, is_admin = is_admin;
	check_password = check_password, store = store, finish_creation = finish_creation;
	are_contacts = are_contacts, befriend = befriend, approve = approve;
	read_grants = read_grants, choose_role = choose_role, give = give;
};
