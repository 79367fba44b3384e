-- What Prosody's own configuration says of rights: whom it calls an admin, and which of its options
-- about inviting have no effect here. It knows nothing of the daemon.

local configmanager = require "core.configmanager";
local usermanager = require "core.usermanager";
local jid = require "util.jid";

local host = module.host;
local rights = {};

---- Names that carry rights
-- Returns [username] = true for each user of this host whom any host or component calls an admin.
function rights.named_admins()
	local names = {};
	for its_host in pairs(configmanager.getconfig()) do
		local admins = configmanager.rawget(its_host, "admins");
		for _, address in pairs(type(admins) == "table" and admins or { admins }) do
			local username, domain = jid.split(type(address) == "string" and jid.prep(address) or nil);
			if username and domain == host then names[username] = true; end
		end
	end
	return names;
end

-- Prosody may keep roles for a name that has no account. A role that everybody has names nobody.
local everybodys_role = module:get_option_string("default_user_role");
local function has_admins_role(username)
	if not usermanager.get_user_role then return usermanager.is_admin(username.."@"..host, host); end -- Prosody 0.12
	local primary = usermanager.get_user_role(username, host);
	local roles = usermanager.get_user_secondary_roles(username, host) or {};
	if primary and primary.name ~= everybodys_role then roles[primary.name] = primary; end
	for _, role in pairs(roles) do
		if role:may(module.name..":administer") then return true; end -- accounts.lib.lua gives it to admins
	end
	return false;
end

-- Whether an account of this name, made now, would have an admin's rights somewhere.
function rights.names_admin(username)
	return rights.named_admins()[username] or has_admins_role(username) or false;
end

return rights;
