-- Delays every registration, like a module that asks another service first.

local sleep = require "util.async".sleep;

module:hook("user-registering", function ()
	sleep(1);
end);
