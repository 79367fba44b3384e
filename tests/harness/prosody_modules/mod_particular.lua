-- Refuses names in each of the ways in which modules do, and whatever comes without an address.

local sleep = require "util.async".sleep;

local function refuse(when, how, priority)
	module:hook("user-registering", function (event)
		if not when(event) then return; end
		event.allowed = false;
		return how(event);
	end, priority);
end

local function is(name) return function (event) return event.username == name; end; end

refuse(is "bob3", function (event) event.reason = "No bobs of this kind"; end);
refuse(is "bob4", function (event) -- as of util.error
	event.error = { type = "cancel", condition = "not-allowed", text = "Not a fourth one" };
	return true;
end);
refuse(is "bob5", function () sleep(0.2); end); -- says nothing, after asking another service
refuse(function (event) return not event.ip; end, function (event) event.reason = "Who are you?"; end, 10);

module:hook("user-registering", function (event)
	return event.ip:match("^:") and nil; -- fails without an address
end, 20);
