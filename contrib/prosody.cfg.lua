-- Add this to prosody.cfg.lua, then restart Prosody.
-- mod_easy_invite must be in one of Prosody's plugin_paths, for example:
--     easy-invite prosody-module --install /usr/local/lib/prosody/modules
--     plugin_paths = { "/usr/local/lib/prosody/modules" }

VirtualHost "{host}"
    -- The module opens registration to people with an invite. Leave allow_registration out: with
    -- it, registration would be open to everybody whenever the module does not load.
    modules_enabled = { "easy_invite" }
    -- Prosody's own invites, which Debian's configuration enables, would answer in its place:
    modules_disabled = { "invites_adhoc", "invites_register" }

Component "invite.{host}"
    component_secret = "{secret}"

-- For web pages that explain an invite and register people, see [web] in the configuration, and
-- docs/web.md.
