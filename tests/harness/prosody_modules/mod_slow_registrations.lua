-- Lets every registration wait, as a module does that asks somebody else first.

local sleep = require "util.async".sleep;

module:hook("user-registering", function ()
	sleep(1);
end);
