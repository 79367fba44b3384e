-- What is loaded here, for the daemon to compare with what it knows (docs/gate.md, `hello`): this
-- module's version and files, and what else makes invites.

local modulemanager = require "core.modulemanager";
local is_utf8 = require "util.encodings".utf8.valid;
local sha256 = require "util.hashes".sha256;

local host = module.host;
local about = { version = "0.1.0" }; -- of easy-invite
local names = { "mod_easy_invite.lua", "about.lib.lua", "accounts.lib.lua", "commands.lib.lua", "daemon.lib.lua";
	"gate.lib.lua", "grants.lib.lua", "hosts.lib.lua", "nicknames.lib.lua", "prosodyctl.lib.lua", "rights.lib.lua" };

-- As Prosody finds them now: a file that one folder lacks may come from another.
local function find_files()
	local files = {};
	for i, name in ipairs(names) do
		local text, path = modulemanager.loader:load_resource(module.name, name);
		local hash = text and sha256(text, true);
		files[i] = { name = name, sha256 = hash, path = hash and is_utf8(path) and path or nil };
	end
	return files;
end

about.files = find_files();

-- Whether the files are others now: Prosody loads them when it starts.
function about.are_files_replaced()
	for i, file in ipairs(find_files()) do
		if file.sha256 ~= about.files[i].sha256 then return true; end
	end
	return false;
end

-- Returns [name] = true for each module that makes invites of its own, which nobody accepts:
-- Prosody's, and those that work with it.
function about.rivals()
	local rivals = {};
	for name, loaded in pairs(modulemanager.get_modules(host)) do
		if name == "invites" or (loaded.module.dependencies or {}).invites then rivals[name] = true; end
	end
	return rivals;
end

return about;
