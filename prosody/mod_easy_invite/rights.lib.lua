-- What Prosody's configuration and roles say about rights: who is an admin, and who may invite.
-- This file knows nothing of the daemon.

local configmanager = require "core.configmanager";
local usermanager = require "core.usermanager";
local jid = require "util.jid";

local host = module.host;
local rights = {};

---- Usernames with an admin's rights
-- Returns [username] = true for each user of this host whom the configuration of any host or
-- component calls an admin. It skips the host `except`.
function rights.named_admins(except)
	local names = {};
	for its_host in pairs(configmanager.getconfig()) do
		local admins = its_host ~= except and configmanager.rawget(its_host, "admins");
		for _, address in pairs(type(admins) == "table" and admins or { admins }) do
			local username, domain = jid.split(type(address) == "string" and jid.prep(address) or nil);
			if username and domain == host then names[username] = true; end
		end
	end
	return names;
end

-- A custom role in Prosody's global section inherits from the roles of the first host, and so lacks
-- the permissions that modules give to admins of other hosts. So the names of its parents count,
-- too.
local function is_admins_role(role)
	if role.name == "prosody:admin" or role:may(module.name..":administer") then return true; end
	for _, inherited in ipairs(role.inherits or {}) do
		if is_admins_role(inherited) then return true; end
	end
end

-- Whether an account has an admin's rights anywhere on this server, or can assume them. `roles` is
-- the second value of accounts.roles.
function rights.is_privileged(username, roles)
	if rights.named_admins()[username] then return true; end
	if not roles then return usermanager.is_admin(username.."@"..host, host); end -- Prosody 0.12
	for _, role in pairs(roles) do
		if is_admins_role(role) then return true; end
	end
	return false;
end

-- Whether an account of this name, made now, would be privileged. Prosody may have roles for a name
-- without an account. The default role, which everybody has, does not count.
local default_role = module:get_option_string("default_user_role");
function rights.names_admin(username, roles)
	local own_roles = roles and {};
	for _, role in ipairs(roles or {}) do
		if role.name ~= default_role then table.insert(own_roles, role); end
	end
	return rights.is_privileged(username, own_roles);
end

---- Who may invite
-- Prosody's mod_invites_adhoc cannot be loaded beside this module. Its options, and its permission
-- on Prosody 13, have the same meaning here. Without `allow_user_invites`, the daemon's
-- configuration decides; but if `allow_user_invites_by_roles` is set, only these roles may invite.
local allow_contact_invites = module:get_option_boolean("allow_contact_invites", true);
local allow_user_invites = module:get_option_boolean("allow_user_invites");
local allowed_roles = module:get_option_set("allow_user_invites_by_roles");
local denied_roles = module:get_option_set("deny_user_invites_by_roles");
local permission = "invites_adhoc:invite-users"; -- on Prosody 13, instead of the options for roles
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

-- Returns whether the server lets this user make invites that register somebody, and whether it
-- lets them make any. The guests of an anonymous host may make none.
function rights.may_invite(username, roles)
	if usermanager.get_provider(host).name == "anonymous" then return false, false; end
	return may_invite_new_users(username, roles), allow_contact_invites;
end

-- The daemon's configuration decides these.
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
