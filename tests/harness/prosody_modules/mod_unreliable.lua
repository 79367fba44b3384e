-- Fails at random while a guest registers: refuses, raises an error at one of the moments at which
-- other modules hear of a registration, or where a role, a group or a contact is given.

local chance = 0.06; -- of each moment, and of each grant
local events = { "user-role-changed", "user-password-changed", "user-enabled", "user-registered" };
math.randomseed(os.time() + require "util.pposix".getpid());

local function is_struck(event)
	return (event.username or ""):find("^guest") and math.random() < chance;
end

local function strike(event)
	if is_struck(event) then error("unreliable"); end
end

local function make_unreliable(part, name)
	local give = part and part[name];
	part[name] = give and function (...)
		local is_for_guest = false;
		for _, word in ipairs { ... } do
			is_for_guest = is_for_guest or type(word) == "string" and word:find("^guest") ~= nil;
		end
		if is_for_guest and math.random() < chance then error("unreliable"); end
		return give(...);
	end;
end

module:hook("user-registering", strike, 10);
for _, name in ipairs(events) do
	module:context("*"):hook(name, strike, 10);
	module:hook(name, strike, 10);
end

for _, name in ipairs { "set_user_role", "add_user_secondary_role", "set_roles" } do
	make_unreliable(require "core.usermanager", name);
end
make_unreliable(require "core.rostermanager", "save_roster");

module:add_timer(0, function () -- around the wrappers that are there
	make_unreliable(require "core.modulemanager".get_module(module.host, "groups_internal"), "add_member");
	module:wrap_event("user-registering", function (handlers, name, event)
		local result = handlers(name, event);
		strike(event);
		if is_struck(event) then event.allowed, event.reason = false, "unreliable"; end
		return result;
	end);
end);
