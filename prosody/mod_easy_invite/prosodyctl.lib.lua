-- `prosodyctl mod_easy_invite generate HOST`: asks the running Prosody, through its admin socket.

local st = require "util.stanza";
local stringprep = require "util.encodings".stringprep;

local xmlns_gate = "urn:easy-invite:gate:1";
local answer_within = 10; -- seconds

local usage = [[
Usage: prosodyctl mod_easy_invite generate HOST [options]

Prints a link with which somebody can register on HOST.

  --username NAME   for this username alone, reserved until the invite ends
  --role ROLE       a role for the account (may be repeated)
  --admin           the same as --role prosody:admin
  --group ID        a group for the account (may be repeated)
  --reset USERNAME  instead, a link with which USERNAME can set a new password]];

local function fail(code, ...)
	io.stderr:write(string.format(...), "\n");
	os.exit(code);
end

local function read_question(words)
	local question = st.stanza("generate", { xmlns = xmlns_gate, type = "account" });
	local position = 1;
	local function next_word()
		position = position + 1;
		return words[position - 1] or fail(2, "%s needs a value\n\n%s", words[position - 2], usage);
	end
	local names = {};
	while words[position] do
		local word = next_word();
		if word == "--role" or word == "--group" then
			question:text_tag(word:sub(3), next_word());
		elseif word == "--admin" then
			question:text_tag("role", "prosody:admin");
		elseif word == "--username" or word == "--reset" then
			question.attr.username = question.attr.username and fail(2, "There can be only one username\n\n%s", usage)
				or next_word();
			question.attr.type = word == "--reset" and "password-reset" or question.attr.type;
		elseif word:sub(1, 1) == "-" then
			fail(2, "Unknown option %s\n\n%s", word, usage);
		else
			table.insert(names, word);
		end
	end
	if names[2] == "generate" then -- either order
		names[1], names[2] = names[2], names[1];
	end
	if names[1] ~= "generate" or #names ~= 2 then
		fail(2, "%s", usage);
	elseif question.attr.type == "password-reset" and question.tags[1] then
		fail(2, "Roles and groups are for new accounts\n\n%s", usage);
	end
	question.attr.host = names[2];
	return question;
end

return function (words)
	if words[1] == "--help" then
		print(usage);
		return 0;
	end
	local question = read_question(words);
	local host, username = question.attr.host, question.attr.username;
	question.attr.host = stringprep.nameprep(host);
	question.attr.username = username and stringprep.nodeprep(username, true);
	if not prosody.hosts[question.attr.host] then
		fail(1, "%s is not a host of this Prosody", host);
	elseif username and (question.attr.username or "") == "" then
		fail(1, "%s cannot be a username", username);
	end

	local client = require "util.adminstream".client();
	client.events.add_handler("connected", function ()
		client.send(question);
	end);
	client.events.add_handler("received", function (reply)
		if reply.name == "link" then
			print(reply:get_text());
			os.exit(0); -- at once, as `prosodyctl shell` does: the end of the stream would be logged to the terminal
		elseif reply.name == "refused" then
			fail(1, "%s", reply:get_text());
		end
		fail(1, "mod_easy_invite is not active on %s: is it enabled there, and what does Prosody's log say?", host);
	end);
	local socket = require "util.paths".resolve_relative_path(prosody.paths.data,
		require "core.configmanager".get("*", "admin_socket") or "prosody.sock");
	local ok, err = require "util.adminstream".connection(socket, client.listeners):connect();
	if not ok then
		fail(1, "Cannot reach Prosody at %s (%s): does it run, with admin_shell in its modules_enabled?", socket, err);
	end
	require "util.timer".add_task(answer_within, function ()
		fail(1, "Prosody does not answer");
	end);
	require "net.server".loop();
end;
