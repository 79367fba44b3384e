-- easy-invite for the host example.org. Put in your own host, and the secret of [component] in
-- /etc/easy-invite/config.toml. This command writes both files:
--
--     easy-invite init --host example.org --output /etc/easy-invite/config.toml \
--         --output-prosody /etc/prosody/conf.d/easy-invite.cfg.lua
--
-- By hand: copy this file to /etc/prosody/conf.avail, link it into /etc/prosody/conf.d, and restart
-- Prosody. If another file has this VirtualHost with its own modules_enabled or modules_disabled,
-- add to those lists instead: a second list replaces the first.

VirtualHost "example.org"
    modules_enabled = { "easy_invite" }
    modules_disabled = { "invites", "invites_adhoc", "invites_register" }

Component "invite.example.org"
    component_secret = "the secret"
