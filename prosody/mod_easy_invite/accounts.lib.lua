-- What Prosody knows of accounts and does with them: whether one exists, making it, its contacts,
-- roles and groups. It knows nothing of the daemon.

local modulemanager = require "core.modulemanager";
local rostermanager = require "core.rostermanager";
local storagemanager = require "core.storagemanager";
local usermanager = require "core.usermanager";
local jid = require "util.jid";
local st = require "util.stanza";
local stringprep = require "util.encodings".stringprep;

local longest_creation = 60; -- seconds between the steps in which Prosody 13 makes an account

local host = module.host;
local records = module:open_store("accounts"); -- of Prosody's own authentication providers
local details = module:open_store("account_details"); -- of accounts that mod_register_ibr made
local accounts = {};

---- Whether an account exists

-- true; false; or nil where the accounts cannot be read. The second value is true where "no" is
-- doubtful (docs/gate.md, "Doubt").
function accounts.exists(username, its_host)
	its_host = its_host or host;
	local its = prosody.hosts[its_host];
	if not username or not its or its.type ~= "local" then return false; end
	local ok, found = pcall(usermanager.user_exists, username, its_host);
	if not ok or found then return ok or nil; end
	if not (its.users.name or ""):find("^internal_") then return false, true; end
	local is_readable, record, problem = pcall(function ()
		return storagemanager.open(its_host, "accounts", "keyval"):get(username);
	end);
	if is_readable and record == nil and not problem then return false; end
end

function accounts.is_possible(username)
	return username ~= "" and stringprep.nodeprep(username, true) == username;
end

-- Prosody 13 notes the time with every account, and either version when somebody registers.
function accounts.created_at(username)
	local record, detail = records:get(username), details:get(username);
	return record and record.created or detail and detail.registered;
end

function accounts.is_admin(username)
	if module.may then return module:may(":administer", username.."@"..host, true); end -- Prosody 13
	return usermanager.is_admin(username.."@"..host, host);
end

if module.default_permission then module:default_permission("prosody:admin", ":administer"); end

---- Making an account

-- Returns whether the password can be one, or false and the reason.
function accounts.check_password(username, password)
	if not stringprep.saslprep(password) then
		return false, "There are characters in the password that cannot be used";
	end
	local policy = modulemanager.get_module(host, "password_policy");
	if not policy or not policy.check_password then return true; end
	return policy.check_password(password, { username = username });
end

-- Removes or completes an account whose creation was cut short (docs/gate.md, "Half-made accounts").
function accounts.finish_creation(username)
	local record = records:get(username);
	if not record or not record.disabled then return; end
	if not (record.stored_key or record.password) then
		module:log("info", "Removing %s, the rest of a registration that was cut short", username);
		usermanager.get_provider(host).delete_user(username); -- without the event: nobody has ever used it
	elseif usermanager.enable_user and record.created and record.updated
	and math.abs(record.updated - record.created) < longest_creation then
		usermanager.enable_user(username, host);
	end
end

-- What mod_register_ibr does when a registration is allowed: `event` is that of user-registering.
-- Returns true when the account or its new password is stored, false when nothing is, nil where
-- nobody can tell.
function accounts.store(event)
	local username, password, is_reset = event.username, event.password, event.allow_reset == event.username;
	local ok, err;
	if is_reset then
		ok, err = usermanager.set_password(username, password, host);
	else
		local create = usermanager.create_user_with_role or usermanager.create_user; -- Prosody 13, or 0.12
		ok, err = create(username, password, host, event.role);
		if ok then
			event.additional.registered = os.time();
			ok, err = details:set(username, event.additional);
			if not ok then usermanager.delete_user(username, host); end
		end
	end
	if ok then return true; end
	module:log("error", "Could not store the account %s: %s", username, err);
	if is_reset then return false; end
	accounts.finish_creation(username);
	local exists, is_doubtful = accounts.exists(username);
	if exists == false and not is_doubtful then return false; end
end

---- Contacts

function accounts.are_contacts(username, contact)
	local item = rostermanager.load_roster(username, host)[contact];
	return item and item.subscription == "both";
end

-- Gives the account's contact at least this subscription, "both" or "from". Name and groups of the
-- contact stay. Where the contact list cannot be written, it stays as it was in memory too, and this
-- raises an error.
local function subscribe(username, its_host, contact, wanted)
	local roster = rostermanager.load_roster(username, its_host);
	local pending, before, item = roster[false].pending, roster[contact], { subscription = "none", groups = {} };
	for key, value in pairs(before or {}) do item[key] = value; end
	if item.subscription == "both" or item.subscription == wanted then return; end
	item.subscription = (wanted == "both" or item.subscription == "to") and "both" or "from";
	if item.subscription == "both" then item.ask = nil; end
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

local function send_presence(type, from, to)
	module:send(st.presence({ type = type, from = from, to = to }));
end

-- A new account and the contact, who is of this host too, become contacts.
local function befriend(username, contact)
	local account, contact_name = username.."@"..host, jid.node(contact);
	if not accounts.exists(contact_name) then
		module:log("info", "%s, who invited %s, has no account any more", contact, account);
		return;
	end
	subscribe(username, host, contact, "both");
	subscribe(contact_name, host, account, "both");
	send_presence("probe", account, contact); -- the account may be online, if a crash has delayed this
	send_presence("probe", contact, account);
end

-- The account accepts the contact, and asks for the other direction, or takes it where the contact
-- is of this server. `presence` is the contact's request.
function accounts.approve(username, contact, presence, origin)
	local account, contact_name, contact_host = username.."@"..host, jid.split(contact);
	local is_here = accounts.exists(contact_name, contact_host);
	subscribe(username, host, contact, is_here and "both" or "from");
	if is_here then
		-- Clients notice an approval only while they wait for one, so it goes first. The contact's
		-- own list comes second: mod_presence reads the list of whichever of the two is online.
		send_presence("subscribed", account, contact);
		subscribe(contact_name, contact_host, account, "both");
	end
	module:send(presence, origin); -- mod_presence answers it as approved, and exchanges presence
	if not is_here and not rostermanager.is_user_subscribed(username, host, contact)
	and not rostermanager.is_contact_pending_out(username, host, contact)
	and rostermanager.set_contact_pending_out(username, host, contact) then
		rostermanager.roster_push(username, host, contact);
		send_presence("subscribe", account, contact);
	end
end

---- What an invite grants to a new account

function accounts.read_grants(element)
	local granted = { contact = element.attr.contact, roles = {}, groups = {} };
	for child in element:childtags("role") do table.insert(granted.roles, child:get_text()); end
	for child in element:childtags("group") do table.insert(granted.groups, child:get_text()); end
	return granted;
end

local function knows_role(role)
	local ok, found = pcall(usermanager.get_role_by_name, role, host); -- which raises an error for an unknown one
	return ok and found;
end

-- Prosody 13 creates an account with its primary role.
function accounts.choose_role(event, granted)
	local role = granted.roles[1];
	if role and usermanager.set_user_role and knows_role(role) then event.role = role; end
end

local function set_roles(username, roles)
	if not usermanager.set_user_role then -- Prosody 0.12
		local all, is_new = {}, false;
		for role, has in pairs(usermanager.get_roles(username.."@"..host, host) or {}) do all[role] = has; end
		for _, role in ipairs(roles) do is_new, all[role] = is_new or not all[role], true; end
		if is_new then usermanager.set_roles(username.."@"..host, host, all); end
		return;
	end
	for i, role in ipairs(roles) do -- Prosody 13: one primary role, and secondary ones
		local primary = usermanager.get_user_role(username, host);
		local ok, err = knows_role(role), "there is no such role";
		if ok and not (primary and primary.name == role) then -- setting it again would end the account's sessions
			local set = i == 1 and usermanager.set_user_role or usermanager.add_user_secondary_role;
			ok, err = set(username, host, role);
		end
		if not ok then module:log("error", "Could not give %s the role %q: %s", username, role, err); end
	end
end

local function join_groups(username, groups)
	local provider = modulemanager.get_module(host, "groups_internal");
	for _, group in ipairs(groups) do
		local ok, err = nil, "mod_groups_internal is not enabled";
		if provider then ok, err = provider.add_member(group, username); end
		if not ok then module:log("warn", "Could not add %s to the group %q: %s", username, group, err); end
	end
end

-- Returns whether it is done. Repeating it changes nothing. `pause` is called before the contact
-- lists are written, between two pcalls, since in Lua 5.1 nothing can wait within one.
function accounts.give(username, granted, pause)
	local ok, err = pcall(function ()
		set_roles(username, granted.roles);
		join_groups(username, granted.groups);
	end);
	if ok and granted.contact then
		if pause then pause(); end
		if accounts.exists(username) ~= false then -- it may have been deleted again, which does not give the use back
			ok, err = pcall(befriend, username, granted.contact);
		end
	end
	if not ok then
		module:log("error", "%s has an account, and not all that the invitation grants is done yet: %s", username, err);
	end
	return ok;
end

return accounts;
