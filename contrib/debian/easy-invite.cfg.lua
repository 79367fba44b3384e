-- easy-invite for the host example.org. Put your own host instead, and the secret of [component] in
-- /etc/easy-invite/config.toml. This command writes both files:
--
--     easy-invite init --host example.org --output /etc/easy-invite/config.toml \
--         --output-prosody /etc/prosody/conf.d/easy-invite.cfg.lua
--
-- By hand: copy it to /etc/prosody/conf.avail, link it into /etc/prosody/conf.d, restart Prosody.
-- If the VirtualHost stands elsewhere with modules_enabled or modules_disabled of its own, add to
-- those lists: a second list replaces the first.

VirtualHost "example.org"
    modules_enabled = { "easy_invite" }
    modules_disabled = { "invites", "invites_adhoc", "invites_register" }

Component "invite.example.org"
    component_secret = "the secret"
