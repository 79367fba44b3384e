-- Holds registrations back while there is a file `hold` in the data folder (`stories.held`), like a
-- module that asks another service. The file says whether before or after all other modules.

local sleep = require "util.async".sleep;

local function is_held(when)
	local file = io.open(prosody.paths.data.."/hold");
	local content = file and file:read();
	if file then file:close(); end
	return content == when;
end

local function hold(when, event)
	if is_held(when) then module:log("info", "Holding %s's registration", event.username); end
	while is_held(when) do sleep(0.05); end
end

module:hook("user-registering", function (event) hold("before", event); end);
module:add_timer(0, function () -- around the wrappers of all modules
	module:wrap_event("user-registering", function (handlers, name, event)
		handlers(name, event);
		if event.allowed then hold("after", event); end
	end);
end);
