-- Fails at random while a guest registers: refuses, or raises an error at one of the moments at
-- which other modules hear of a registration.

local chance = 0.06; -- of each moment
local events = { "user-role-changed", "user-password-changed", "user-enabled", "user-registered" };
math.randomseed(os.time() + require "util.pposix".getpid());

local function is_struck(event)
	return (event.username or ""):find("^guest") and math.random() < chance;
end

local function strike(event)
	if is_struck(event) then error("unreliable"); end
end

module:hook("user-registering", strike, 10);
for _, name in ipairs(events) do
	module:context("*"):hook(name, strike, 10);
	module:hook(name, strike, 10);
end

module:add_timer(0, function () -- around the wrappers that are there
	module:wrap_event("user-registering", function (handlers, name, event)
		local result = handlers(name, event);
		strike(event);
		if is_struck(event) then event.allowed, event.reason = false, "unreliable"; end
		return result;
	end);
end);
