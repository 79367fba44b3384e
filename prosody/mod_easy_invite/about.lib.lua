-- What the operator should know (docs/gate.md, `hello`): this module's version and files, other
-- modules that make invites, and why clients cannot encrypt.

local modulemanager = require "core.modulemanager";
local portmanager = require "core.portmanager";
local is_utf8 = require "util.encodings".utf8.valid;
local sha256 = require "util.hashes".sha256;
local st = require "util.stanza";
local x509 = require "util.x509";

local host = module.host;
local about = { version = "0.1.0" }; -- easy-invite's
local names = { "mod_easy_invite.lua", "about.lib.lua", "accounts.lib.lua", "commands.lib.lua", "daemon.lib.lua";
	"gate.lib.lua", "grants.lib.lua", "hosts.lib.lua", "nicknames.lib.lua", "prosodyctl.lib.lua", "rights.lib.lua" };

-- Returns the files that Prosody would load now. They may be in several folders.
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

-- Whether the files have changed since Prosody loaded them.
function about.are_files_replaced()
	for i, file in ipairs(find_files()) do
		if file.sha256 ~= about.files[i].sha256 then return true; end
	end
	return false;
end

-- Returns [name] = true for each module whose invites nobody accepts: mod_invites, and the modules
-- that depend on it.
function about.rivals()
	local rivals = {};
	for name, loaded in pairs(modulemanager.get_modules(host)) do
		if name == "invites" or (loaded.module.dependencies or {}).invites then rivals[name] = true; end
	end
	return rivals;
end

---- Whether clients can encrypt. Otherwise, Prosody lets nobody register.
about.require_encryption = module:get_option_boolean("c2s_require_encryption",
	module:get_option_boolean("require_encryption", true));

-- Lets mod_tls offer StartTLS to a simulated client. Returns the TLS context if there is one, the
-- options that it was made from, and the error.
local function offer_tls(tls)
	local client, why = { type = "c2s_unauthed", host = host }, nil;
	function client.log(level, ...) why = level == "error" and string.format(...) or why; end
	local handlers = tls.module.event_handlers:get(prosody.hosts[host].events, "stream-features");
	for handler in pairs(handlers or {}) do
		handler { origin = client, features = st.stanza("features") };
	end
	return client.ssl_ctx, client.ssl_cfg or {}, why;
end

local function has_tls_port() -- whether there are ports on which clients encrypt from the start
	local active = portmanager.get_active_services();
	return active:get("c2s_direct_tls") or active:get("legacy_ssl");
end

-- Returns a text that says what is wrong and what to do; nil or false if nothing is.
local function find_fault()
	local tls = modulemanager.get_module(host, "tls");
	if not tls then
		return not has_tls_port() and 'mod_tls is not loaded there: add "tls" to modules_enabled, then restart Prosody';
	end
	local context, config, why = offer_tls(tls);
	if not context then
		return ("its certificate cannot be used (%s; key: %s). Can Prosody's user read the key, and does it match "
			.."the certificate? Correct this, then: systemctl reload prosody")
			:format(why or "no reason is known", config.key or "none");
	end
	local import = ("prosodyctl --root cert import %s /etc/letsencrypt/live"):format(host);
	if not config.certificate then
		return "it has no certificate, or may not read it. Get one, for example from Let's Encrypt, then: "..import;
	end
	local file = io.open(config.certificate);
	local certificate = file and require "ssl".loadcertificate(file:read("*a"));
	if file then file:close(); end
	if not certificate then return; end
	if not certificate:validat(os.time()) then
		return ("its certificate %s is valid from %s to %s, not now. Renew it, then: %s"):format(
			config.certificate, certificate:notbefore(), certificate:notafter(), import);
	end
	if not x509.verify_identity(host, "_xmpp-client", certificate) then
		return ("its certificate %s is for other names (prosodyctl check certs). Get one for this name, then: %s")
			:format(config.certificate, import);
	end
end

-- Returns a list of warnings.
function about.warnings()
	if not about.require_encryption then return {}; end
	local ok, fault = pcall(find_fault); -- which uses more of Prosody than its API promises
	if not ok or not fault then return {}; end
	return { ("apps cannot connect to %s with encryption, without which Prosody lets nobody register or log in: %s")
		:format(host, fault) };
end

return about;
