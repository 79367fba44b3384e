-- Prepares a Prosody for scripts/bench: users, and pending invites in Prosody's own mod_invites.
-- Users could make these themselves, one after the other, but with some storages that takes hours.
local usermanager = require "core.usermanager";

local users = module:get_option_number("bench_users", 0);
local waiting = module:get_option_number("bench_waiting", 0);
local password = module:get_option_string("bench_password");

for number = 0, users - 1 do
	if not usermanager.user_exists("user-" .. number, module.host) then
		assert(usermanager.create_user("user-" .. number, password, module.host));
	end
end

local store = module:open_store("invite_token");
if waiting > 0 and not store:get(nil) then
	local created, all, of_users = os.time(), {}, {};
	local expires = created + 7 * 86400;
	for number = 0, waiting - 1 do
		local username, token = "user-" .. number % users, ("fill-%019d"):format(number);
		local jid = username .. "@" .. module.host;
		all[token] = {
			type = "roster", jid = jid, token = token, allow_registration = true,
			uri = "xmpp:" .. jid .. "?roster;preauth=" .. token .. ";ibr=y",
			created_at = created, expires = expires, additional_data = { source = jid .. "/bench" },
		};
		of_users[username] = of_users[username] or {};
		of_users[username][token] = expires;
	end
	assert(store:set(nil, all));
	for username, tokens in pairs(of_users) do
		assert(store:set(username, tokens));
	end
end
