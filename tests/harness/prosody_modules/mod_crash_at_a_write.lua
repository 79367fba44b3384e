-- Kills the server (SIGKILL) just before a write to its files, the crash_at_write-th since a
-- registration began.

local datamanager = require "util.datamanager";
local pid = require "util.pposix".getpid();

local crash_at = module:get_option_number("crash_at_write");
local writes;

module:hook("user-registering", function ()
	writes = 0;
end);

datamanager.add_callback(function (username, host, store, data)
	if writes then
		writes = writes + 1;
		if writes == crash_at then
			module:log("warn", "Killed before writing %s of %s", store, username);
			os.execute("kill -KILL "..pid);
		end
	end
	return username, host, store, data;
end);
