-- In place of the configuration of prosodyim/prosody:13.0: what that reads from the environment, as
-- far as compose.yaml uses it, in the same order and over the same modules.
local function list(text)
    local found = {}
    for word in (text or ""):gmatch("[^,]+") do
        found[#found + 1] = word
    end
    return found
end

plugin_paths = list(ENV_PROSODY_PLUGIN_PATHS or "/etc/prosody/modules")
modules_enabled = {
    "disco", "roster", "saslauth", "tls", "blocklist", "bookmarks", "carbons", "dialback", "limits", "pep", "private",
    "smacks", "vcard4", "vcard_legacy", "csi_simple", "invites", "invites_adhoc", "invites_register", "ping",
    "register", "time", "uptime", "version", "admin_adhoc", "admin_shell",
}
modules_enabled:append(list(ENV_PROSODY_ENABLE_MODULES))
modules_disabled = list(ENV_PROSODY_DISABLE_MODULES)
authentication = "internal_hashed"
storage = "internal"
log = { info = "*console" }
certificates = "certs"

for _, host in Lua.ipairs(list(ENV_PROSODY_VIRTUAL_HOSTS)) do
    VirtualHost(host)
end

for _, name in Lua.ipairs(list(ENV_PROSODY_EXTERNAL_COMPONENTS)) do
    Component(name)
    component_secret = ENV_PROSODY_COMPONENT_SECRET
end

Include("/etc/prosody/conf.d/*.cfg.lua")
