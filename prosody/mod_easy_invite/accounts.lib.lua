-- Accounts: what Prosody knows of them, and how they are created. This file knows nothing of the
-- daemon.

local modulemanager = require "core.modulemanager";
local storagemanager = require "core.storagemanager";
local usermanager = require "core.usermanager";
local array = require "util.array";
local dataforms = require "util.dataforms";
local datamanager = require "util.datamanager";
local iterators = require "util.iterators";
local set = require "util.set";
local st = require "util.stanza";
local stringprep = require "util.encodings".stringprep;
local file_attributes = require "lfs".attributes;
local now = require "util.time".monotonic; -- nobody can set this clock
local uuid = require "util.uuid".generate;

local cleanup_interval, max_registration = 60, 60; -- seconds
local host = module.host;
local records = module:open_store("accounts"); -- of Prosody's own authentication providers
local details = module:open_store("account_details"); -- of accounts that mod_register_ibr made
local marks = module:open_store("easy_invite"); -- [username] = { known_since }: Prosody deletes it with the account
local stored_roles = module:open_store("roles"); -- read here because Prosody 0.12 takes unreadable roles for none
local accounts = {};

-- Returns when the account's file was last written (Unix time), or nil if accounts are not in
-- files.
local function file_written(username, its_host)
	local _, driver = storagemanager.get_driver(its_host, "accounts");
	if driver ~= "internal" then return; end -- a file that is still there is from an earlier storage
	return (file_attributes(datamanager.getpath(username, its_host, "accounts"), "modification"));
end

-- Returns what is stored of an account, or nil; and the error if it cannot be read. An empty file,
-- which a crash of the machine can leave, counts as an error. (Prosody would say "no account".)
local function read(username, its_host)
	local record, problem = storagemanager.open(its_host, "accounts", "keyval"):get(username);
	local is_lost = record == nil and not problem and file_written(username, its_host);
	return record, is_lost and "its file holds no account" or problem;
end

---- A registration that fails leaves nothing behind (docs/gate.md, "Half-made accounts")
-- The names of the accounts that this server is making are on its own disk, wherever accounts are.
local notes = storagemanager.load_driver(host, "internal"):open("easy_invite_begun");
local begun, unreadable = {}, nil; -- [username] = "begun", or when the registration failed (Unix time)
local being_made = {}; -- [username] = the time (monotonic) by which the registration has surely ended

-- While the list cannot be read, nobody can register, since `note` would overwrite it.
local function read_begun()
	local list, err = notes:get(nil);
	if err and not unreadable then
		module:log("error", "Nobody can register while %s cannot be read (%s). It names the accounts that were being "
			.."made when Prosody ended. Repair it, or remove it: then half-made accounts of these names stay",
			datamanager.getpath(nil, host, "easy_invite_begun"), err);
	elseif unreadable and not err then
		module:log("info", "Registration is open again");
	end
	begun, unreadable = list or {}, err;
end
read_begun();

local function note(username, state)
	if unreadable then return false; end
	begun[username] = state;
	local ok, err = notes:set(nil, next(begun) and begun or nil);
	if not ok then module:log("error", "Could not store which accounts are being made: %s", err); end
	return ok;
end

-- Whether a registration is making this account now. Nobody has been told of it yet.
function accounts.is_being_made(username) return (being_made[username] or 0) > now(); end

-- Removes what is left of an account whose registration has ended or, with `password`, has failed
-- just now. Returns whether nothing is left, and the error if something is. It keeps an account
--   * that has details: they are written before anybody is told of the account;
--   * that was written after the registration failed: it is somebody else's;
--   * that has another password: an admin may have made it while a module made the registration
--     wait. Then it returns true, true.
local function remove_leftovers(username, password)
	local ok, result = pcall(function ()
		local failed_at, record, problem = tonumber(begun[username]), records:get(username);
		local detail, its_problem = details:get(username);
		if problem or its_problem and not failed_at then error(problem or its_problem, 0); end
		local written = file_written(username, host) or record and record.updated;
		if not record and not written or detail and detail.registered then return; end
		if failed_at and not password and not (written and written <= failed_at) then return; end
		if password and record and not record.disabled and not usermanager.test_password(username, host, password) then
			return true;
		end
		if not failed_at and record and not record.disabled then return; end -- without a record: an empty file
		-- Without usermanager's event, since nobody has been told of the account.
		local is_removed, why = usermanager.get_provider(host).delete_user(username);
		if not is_removed then error(why, 0); end
		storagemanager.purge(username, host);
		module:log("info", "Removed what a failed registration had left of the account %s", username);
	end);
	if ok then note(username, nil); end
	return ok, result;
end

module:add_timer(0, function () -- the first time, for what a crash has left
	if unreadable then read_begun(); end
	for username in pairs(begun) do
		if not accounts.is_being_made(username) then remove_leftovers(username); end
	end
	return cleanup_interval;
end);

module:hook_global("user-deleted", function (event)
	local username = event.username;
	if event.host == host and begun[username] and not accounts.is_being_made(username) then note(username, nil); end
end);

---- Whether an account exists
-- Returns true, false, or nil if that cannot be known now: the accounts cannot be read, or this one
-- is being made. The second value is true if a "no" is doubtful (docs/gate.md, "Doubt").
function accounts.exists(username, its_host)
	local its = prosody.hosts[its_host or host];
	if not username or not its or its.type ~= "local" then return false; end
	local is_here = its.host == host;
	if is_here and begun[username]
	and (accounts.is_being_made(username) or not remove_leftovers(username)) then return; end
	local ok, found = pcall(usermanager.user_exists, username, its.host);
	if not ok or found then return ok or nil; end
	if not (its.users.name or ""):find("^internal_") then return false, true; end
	local is_readable, record, problem = pcall(read, username, its.host);
	if is_readable and record == nil and not problem then return false; end
end

local max_file_name = 255; -- bytes, of most file systems
function accounts.is_possible(username)
	if username == "" or stringprep.nodeprep(username, true) ~= username then return false; end
	local _, driver = storagemanager.get_driver(host, "accounts");
	local file = driver == "internal" and datamanager.getpath(username, host, "accounts"):match("[^/]*$") or "";
	return #file < max_file_name; -- while it is written, the name has a "~" at the end
end

function accounts.created_at(username)
	local record = records:get(username);
	if record and record.created then return record.created; end
	local detail = details:get(username);
	return detail and detail.registered;
end

-- Returns a time (Unix) at which the account was there already. For accounts without a time of
-- creation, this module stores one when it first looks.
function accounts.known_since(username)
	local mark, err = marks:get(username);
	if not mark and not err then
		-- The file is written when the account is made, and when it gets another password.
		local first = { known_since = math.min(file_written(username, host) or os.time(), os.time()) };
		local ok, problem = marks:set(username, first);
		mark, err = ok and first, problem;
	end
	if not mark then error(("The age of the account %s is unknown: %s"):format(username, err), 0); end
	return mark.known_since;
end

-- Whether nobody can log in to it. Prosody 13 can disable an account, also until it is deleted.
function accounts.is_disabled(username)
	return usermanager.user_is_enabled ~= nil and usermanager.user_is_enabled(username, host) == false;
end

---- What an account may do
local function check(answer, err, username)
	if answer or not err or err == "unknown-role" then return answer; end -- a role that is no longer defined
	error(("The roles of %s cannot be read: %s"):format(username, err), 0);
end

-- Returns the names of the account's roles and, on Prosody 13, the roles, the primary one first.
-- Raises an error if they cannot be read, since the account may be an admin's.
function accounts.roles(username)
	if not usermanager.get_user_role then
		local stored, err = stored_roles:get(username);
		check(stored, err, username);
		return array.collect(iterators.keys(usermanager.get_roles(username.."@"..host, host) or {})):sort();
	end
	local primary, err = usermanager.get_user_role(username, host);
	local roles = array { check(primary, err, username) or nil };
	local secondary, problem = usermanager.get_user_secondary_roles(username, host);
	for _, role in iterators.sorted_pairs(check(secondary, problem, username) or {}) do roles:push(role); end
	return array.pluck(roles, "name"), roles;
end

-- `roles` is the second value of accounts.roles: nil on Prosody 0.12.
function accounts.is_admin(username, roles)
	if not roles then return usermanager.is_admin(username.."@"..host, host); end -- Prosody 0.12
	return roles[1] and roles[1]:may(module.name..":administer");
end
if module.default_permission then module:default_permission("prosody:admin", ":administer"); end

-- Returns the priority of a role of Prosody 13: its own, or the highest that it inherits.
function accounts.priority(role)
	local highest = role.priority or 0;
	for _, inherited in ipairs(not role.priority and role.inherits or {}) do
		highest = math.max(highest, accounts.priority(inherited));
	end
	return highest;
end

local rank_of_users, rank_of_admins, rank_of_operators = 25, 50, 75; -- as of Prosody 13's own roles

-- Returns the account's rank (docs/gate.md, "Ranks"). `is_admin_elsewhere`: on another host.
function accounts.rank(username, roles, is_admin_elsewhere)
	local account = username.."@"..host;
	local rank = roles and 0
		or usermanager.is_admin(account) and rank_of_operators -- of the whole server
		or usermanager.is_admin(account, host) and rank_of_admins or rank_of_users;
	for _, role in ipairs(roles or {}) do rank = math.max(rank, accounts.priority(role)); end
	if is_admin_elsewhere then rank = math.max(rank, rank_of_admins) + 1; end
	return math.floor(rank);
end

---- What newcomers are asked besides a username and a password
-- mod_register_ibr's option has names of XEP-0077, with a "+" if an answer is required, or fields
-- of util.dataforms. Like mod_register_ibr, this ignores other names.
local of_xep_0077 = set.new { "nick", "name", "first", "last", "email", "address", "city", "state", "zip", "phone";
	"url", "date" };
local asked = {};
for _, field in ipairs(module:get_option_array("additional_registration_fields", {})) do
	local name, is_required = tostring(field):match("^(.-)(%+?)$");
	if type(field) == "table" then
		table.insert(asked, field);
	elseif of_xep_0077:contains(name) then
		table.insert(asked, { name = name, type = "text-single", required = is_required == "+" });
	end
end
accounts.form = asked[1] and dataforms.new(asked);

-- Returns the names of the required fields that a query lacks, or nil. It ignores fields that
-- XEP-0077 does not know: they are only in the form, which a client may leave out.
function accounts.missing_in(query)
	local missing = {};
	for _, field in ipairs(not query:get_child("x", "jabber:x:data") and asked or {}) do
		local is_known = field.required and of_xep_0077:contains(field.name);
		if is_known and (query:get_child_text(field.name) or "") == "" then table.insert(missing, field.name); end
	end
	return missing[1] and table.concat(missing, ", ");
end

-- Returns the answers of a submitted form, to be stored; or nil, and a text that says what is
-- wrong.
function accounts.read_answers(submitted)
	if not accounts.form then return {}; end
	local answers, problems = accounts.form:data(submitted or st.stanza("x"));
	if not problems or not next(problems) then return answers; end
	local texts = {};
	for name, problem in iterators.sorted_pairs(problems) do table.insert(texts, name..": "..problem); end
	return nil, table.concat(texts, ", ");
end

---- What the authentication provider can never do
-- If a provider lacks a method, usermanager adds one that refuses. Some providers have methods that
-- only refuse. A Lua function without upvalues can reach neither a storage nor a network, so this
-- calls it to see what it says. (In Lua 5.1, globals are no upvalues.) With any other method, only
-- a real attempt would show it.
local function refusal_of(provider, method)
	local about = debug.getinfo(provider[method], "uS");
	local can_change_nothing = not rawget(provider, method)
		or about.what == "Lua" and about.nups == 0 and _VERSION ~= "Lua 5.1";
	if not can_change_nothing then return; end
	local done, why = provider[method]("nobody", uuid());
	return not done and tostring(why or done);
end

-- Returns why no account can ever be made ("register"), or no password be set ("reset"); or nil.
function accounts.never(purpose)
	local provider = usermanager.get_provider(host);
	-- Prosody 13 makes an account without a password, and then sets it.
	local sets_password = purpose == "reset" or usermanager.create_user_with_role;
	local why = purpose == "register" and refusal_of(provider, "create_user")
		or sets_password and refusal_of(provider, "set_password");
	if not why then return; end
	if provider.name ~= "null" then return ("mod_auth_%s says %q"):format(provider.name, why); end
	return ("mod_auth_%s is not loaded, and Prosody's log says why"):format(
		module:get_option_string("authentication", "internal_hashed"));
end

---- Making an account
-- Returns true; or false, and a text that says why the password cannot be used.
function accounts.check_password(username, password)
	local policy, prepared = modulemanager.get_module(host, "password_policy"), stringprep.saslprep(password);
	if not prepared or prepared == "" then
		return false, "Please choose another password: this one is too long, or has characters that cannot be used";
	end
	if not policy or not policy.check_password then return true; end
	return policy.check_password(password, { username = username });
end

-- Returns true if the name is free and the account may be made now. Then the caller calls `made` or
-- `failed`. With `may_end_unseen`, it may call neither: then this ends by itself after a while.
function accounts.begin(username, may_end_unseen)
	local exists, is_doubtful = accounts.exists(username);
	if exists ~= false then return false; end
	if is_doubtful then return true; end -- what is left could not be told from somebody else's account
	if details:get(username) then details:set(username, nil); end -- those of an earlier account
	if not note(username, "begun") then
		begun[username] = nil;
		return false;
	end
	being_made[username] = may_end_unseen and now() + max_registration or math.huge;
	return true;
end

-- The account is made, and its owner is told now.
function accounts.made(username)
	being_made[username] = nil;
	if begun[username] then note(username, nil); end
end

-- The registration with this password has failed. Returns whether certainly nothing of it is left.
function accounts.failed(username, password)
	being_made[username] = nil;
	if begun[username] then
		begun[username] = os.time();
		local is_removed, result = remove_leftovers(username, password);
		if not is_removed then
			note(username, begun[username]);
			module:log("error", "Could not yet remove what is left of %s, whose registration failed: %s",
				username, result);
		elseif result then
			return true;
		end
	end
	local exists, is_doubtful = accounts.exists(username);
	return exists == false and not is_doubtful;
end

-- Whether an error of a provider says that it can never do what was tried.
local never_phrases = { "not implemented", "not supported", "not available", "unsupported", "read[- ]only" };
local function says_never(err)
	for _, words in ipairs(never_phrases) do
		if tostring(err):lower():find(words) then return true; end
	end
	return false;
end

-- Does what mod_register_ibr does after a registration is allowed. Returns true if the account or
-- its new password is stored; false if nothing is, and whether nothing ever can be; nil if that is
-- unknown.
function accounts.store(event)
	local username, password, is_reset = event.username, event.password, event.allow_reset == event.username;
	local ok, err;
	if is_reset then
		ok, err = usermanager.set_password(username, password, host);
	else
		local create = usermanager.create_user_with_role or usermanager.create_user; -- Prosody 13, or 0.12
		ok, err = create(username, password, host, event.role);
		if ok then
			event.additional.registered = os.time();
			ok, err = details:set(username, event.additional);
		end
	end
	if ok then
		accounts.made(username);
		return true;
	end
	module:log("error", "Could not store the account %s: %s", username, err);
	local is_nothing_left = is_reset or accounts.failed(username, password);
	if says_never(err) then return false, true; end
	if is_nothing_left then return false, false; end
end

return accounts;
