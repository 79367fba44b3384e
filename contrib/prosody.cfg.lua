{about}-- Restart Prosody afterwards.

-- Before the first VirtualHost. mod_easy_invite must be in one of these folders:
--     easy-invite prosody-module --install /usr/local/lib/prosody/modules
{plugin_paths}
{host_place}VirtualHost "{host}"
{enabled}{disabled}    -- The module opens registration to people with an invite. Leave allow_registration out: with
    -- it, registration would be open to everybody whenever the module does not load.
{open}
{component}
-- For web pages that explain an invite and register people, see [web] in the configuration, and
-- docs/web.md.
