-- What Prosody's own configuration says of rights: whom it calls an admin, and who may invite. It
-- knows nothing of the daemon.

local configmanager = require "core.configmanager";
local usermanager = require "core.usermanager";
local jid = require "util.jid";

local host = module.host;
local rights = {};

---- Names that carry rights
-- Returns [username] = true for each user of this host whom any host or component calls an admin,
-- or any but one.
function rights.named_admins(but)
	local names = {};
	for its_host in pairs(configmanager.getconfig()) do
		local admins = its_host ~= but and configmanager.rawget(its_host, "admins");
		for _, address in pairs(type(admins) == "table" and admins or { admins }) do
			local username, domain = jid.split(type(address) == "string" and jid.prep(address) or nil);
			if username and domain == host then names[username] = true; end
		end
	end
	return names;
end

-- A custom role in Prosody's global section inherits from the roles of the first host, and so has
-- none of the permissions that modules give to admins of the others: its parents' names count too.
local function is_admins_role(role)
	if role.name == "prosody:admin" or role:may(module.name..":administer") then return true; end
	for _, inherited in ipairs(role.inherits or {}) do
		if is_admins_role(inherited) then return true; end
	end
end

-- Whether an account has an admin's rights somewhere, or can take them on. `roles` are the
-- account's, of Prosody 13.
function rights.is_privileged(username, roles)
	if rights.named_admins()[username] then return true; end
	if not roles then return usermanager.is_admin(username.."@"..host, host); end -- Prosody 0.12
	for _, role in pairs(roles) do
		if is_admins_role(role) then return true; end
	end
	return false;
end

-- Whether an account of this name, made now, would be privileged. Prosody may keep roles for a name
-- that has no account: `roles`, of Prosody 13. A role that everybody has names nobody.
local everybodys_role = module:get_option_string("default_user_role");
function rights.names_admin(username, roles)
	local of_the_name = roles and {};
	for _, role in ipairs(roles or {}) do
		if role.name ~= everybodys_role then table.insert(of_the_name, role); end
	end
	return rights.is_privileged(username, of_the_name);
end

---- Who may invite
-- Prosody's mod_invites_adhoc cannot be loaded beside this module. Its options, and its permission
-- of Prosody 13, mean here what they mean there. But where `allow_user_invites` is not set, the
-- daemon's configuration decides; where only the roles are named that may, no others may.
local allow_contact_invites = module:get_option_boolean("allow_contact_invites", true);
local allow_user_invites = module:get_option_boolean("allow_user_invites");
local allowed_roles = module:get_option_set("allow_user_invites_by_roles");
local denied_roles = module:get_option_set("deny_user_invites_by_roles");
local permission = "invites_adhoc:invite-users"; -- of Prosody 13, which has no such options for roles
local has_permissions = module.may ~= nil;
if has_permissions then
	module:default_permission(allow_user_invites == false and "prosody:admin" or "prosody:registered", permission);
elseif allow_user_invites == nil then
	allow_user_invites = not allowed_roles;
end

local function has_one_of(roles, wanted)
	for role in wanted or function () end do
		if roles[role] then return true; end
	end
end

local function may_invite_new_users(username, its_roles)
	if has_permissions then return its_roles[1] and its_roles[1]:may(permission); end
	local roles = usermanager.get_roles(username.."@"..host, host) or {};
	if roles["prosody:admin"] or has_one_of(roles, allowed_roles) then return true; end
	return allow_user_invites and not has_one_of(roles, denied_roles);
end

-- Returns whether the server lets this user make invites that register somebody, and invites at
-- all. The users of a host without accounts may not. `roles` are the account's, of Prosody 13.
function rights.may_invite(username, roles)
	if usermanager.get_provider(host).name == "anonymous" then return false, false; end
	return may_invite_new_users(username, roles), allow_contact_invites;
end

-- What the daemon decides by its own configuration, whatever these say.
local without_effect = { "invite_expiry", "invites_page", "invites_page_module", "invites_page_supports";
	"registration_invite_only" };
if has_permissions then
	table.insert(without_effect, "allow_user_invites_by_roles");
	table.insert(without_effect, "deny_user_invites_by_roles");
end

-- Returns the options about inviting that are set and have no effect.
function rights.unused_options()
	local unused = {};
	for _, option in ipairs(without_effect) do
		if module:get_option(option) ~= nil then table.insert(unused, option); end
	end
	return unused;
end

return rights;
