-- `prosodyctl mod_easy_invite generate HOST`: asks the running Prosody through its admin socket.

local adminstream = require "util.adminstream";
local st = require "util.stanza";

local answer_timeout = 10; -- seconds
local usage = [[
Usage: prosodyctl mod_easy_invite generate HOST [options]

Prints a link with which somebody can register on HOST. The options are those of `easy-invite generate`, such as
--username NAME, --role ROLE, --group ID and --reset USERNAME.]];

local function fail(code, ...)
	io.stderr:write(string.format(...), "\n");
	os.exit(code);
end

return function (words)
	local command, asked_host = words[1], words[2];
	if asked_host == "generate" then command, asked_host = asked_host, command; end -- in either order
	if command ~= "generate" or not asked_host then fail(2, "%s", usage); end
	local host = module:require "hosts"(asked_host);
	if not prosody.hosts[host] then fail(1, "%s is not a host of this Prosody", asked_host); end
	local question = st.stanza("generate", { xmlns = "urn:easy-invite:gate:1", host = host });
	for i = 3, #words do question:text_tag("word", words[i]); end

	local client = adminstream.client();
	client.events.add_handler("connected", function () client.send(question); end);
	client.events.add_handler("received", function (reply)
		if reply.name == "link" then
			print(reply:get_text());
			os.exit(0); -- at once, as `prosodyctl shell` does, which otherwise logs the stream's end to the terminal
		elseif reply.name == "refused" then
			fail(tonumber(reply.attr.code), "%s", reply:get_text());
		end
		fail(1, "mod_easy_invite is not active on %s: is it enabled there, and what does Prosody's log say?", host);
	end);
	local socket = require "util.paths".resolve_relative_path(prosody.paths.data,
		require "core.configmanager".get("*", "admin_socket") or "prosody.sock");
	local ok, err = adminstream.connection(socket, client.listeners):connect();
	if not ok then
		fail(1, "Cannot reach Prosody at %s (%s): is it running, with admin_shell in modules_enabled?", socket, err);
	end
	require "util.timer".add_task(answer_timeout, function () fail(1, "Prosody does not answer"); end);
	require "net.server".loop();
end;
