-- What Prosody knows of accounts, and making them. It knows nothing of the daemon.

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

local tidy_every, longest_registration = 60, 60; -- seconds
local host = module.host;
local records = module:open_store("accounts"); -- of Prosody's own authentication providers
local details = module:open_store("account_details"); -- of accounts that mod_register_ibr made
local marks = module:open_store("easy_invite"); -- [username] = { known_since }, which goes with the account
local stored_roles = module:open_store("roles"); -- of Prosody 0.12, which takes unreadable roles for none
local accounts = {};

-- When the file of an account was written last (Unix time), or nil where it has none.
local function file_written(username, its_host)
	local _, driver = storagemanager.get_driver(its_host, "accounts");
	if driver ~= "internal" then return; end -- a file would be of an earlier time
	return (file_attributes(datamanager.getpath(username, its_host, "accounts"), "modification"));
end

-- Returns what is stored of an account, or nil; and what keeps it from being read. To Prosody an
-- empty file, as a crash of the machine can leave it, is no account.
local function read(username, its_host)
	local record, problem = storagemanager.open(its_host, "accounts", "keyval"):get(username);
	local is_lost = record == nil and not problem and file_written(username, its_host);
	return record, is_lost and "its file holds no account" or problem;
end

---- A registration that fails leaves nothing behind (docs/gate.md, "Half-made accounts")
-- The accounts that this server is making are noted on its own disk, not where the accounts are.
local notes = storagemanager.load_driver(host, "internal"):open("easy_invite_begun");
local begun, unreadable = {}, nil; -- [username] = "begun", or since when it has failed (Unix time)
local in_the_making = {}; -- [username] = the time (monotonic) by which the registration has ended

-- While the list cannot be read, nobody registers: the next note would overwrite it.
local function read_notes()
	local list, err = notes:get(nil);
	if err and not unreadable then
		module:log("error", "Nobody can register while %s cannot be read (%s). It names the accounts that were being "
			.."made when Prosody ended. Repair it, or remove it: then what is left of those accounts stays",
			datamanager.getpath(nil, host, "easy_invite_begun"), err);
	elseif unreadable and not err then
		module:log("info", "Registration is open again");
	end
	begun, unreadable = list or {}, err;
end
read_notes();

local function note(username, state)
	if unreadable then return false; end
	begun[username] = state;
	local ok, err = notes:set(nil, next(begun) and begun or nil);
	if not ok then module:log("error", "Could not note which accounts are being made: %s", err); end
	return ok;
end

-- Whether a registration is making this account now: nobody is told of it yet.
function accounts.is_in_the_making(username) return (in_the_making[username] or 0) > now(); end

-- Removes what a registration that has ended has left of its account, or with `password` one that
-- has failed just now. Returns whether nothing of it is left. Whoever was told of an account has
-- its details: these are written before. What was written since the registration failed is somebody
-- else's. So is an account with another password, which an admin may have made while a module made
-- the registration wait: then the second value is true.
local function remove_rest(username, password)
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
		if not failed_at and record and not record.disabled then return; end -- an empty file is a rest, too
		local is_removed, why = usermanager.get_provider(host).delete_user(username); -- no event: nobody knows it
		if not is_removed then error(why, 0); end
		storagemanager.purge(username, host);
		module:log("info", "Removed %s, the rest of a registration that failed", username);
	end);
	if ok then note(username, nil); end
	return ok, result;
end

module:add_timer(0, function () -- at first for those that a crash has left
	if unreadable then read_notes(); end
	for username in pairs(begun) do
		if not accounts.is_in_the_making(username) then remove_rest(username); end
	end
	return tidy_every;
end);

module:hook_global("user-deleted", function (event)
	local username = event.username;
	if event.host == host and begun[username] and not accounts.is_in_the_making(username) then note(username, nil); end
end);

---- Whether an account exists
-- true; false; or nil where nobody can tell: the accounts cannot be read, or this one is in the
-- making. The second value is true where "no" is doubtful (docs/gate.md, "Doubt").
function accounts.exists(username, its_host)
	local its = prosody.hosts[its_host or host];
	if not username or not its or its.type ~= "local" then return false; end
	local is_here = its.host == host;
	if is_here and begun[username]
	and (accounts.is_in_the_making(username) or not remove_rest(username)) then return; end
	local ok, found = pcall(usermanager.user_exists, username, its.host);
	if not ok or found then return ok or nil; end
	if not (its.users.name or ""):find("^internal_") then return false, true; end
	local is_readable, record, problem = pcall(read, username, its.host);
	if is_readable and record == nil and not problem then return false; end
end

local longest_file_name = 255; -- bytes, of most file systems
function accounts.is_possible(username)
	if username == "" or stringprep.nodeprep(username, true) ~= username then return false; end
	local _, driver = storagemanager.get_driver(host, "accounts");
	local file = driver == "internal" and datamanager.getpath(username, host, "accounts"):match("[^/]*$") or "";
	return #file < longest_file_name; -- with "~" behind it while it is written
end

function accounts.created_at(username)
	local record = records:get(username);
	if record and record.created then return record.created; end
	local detail = details:get(username);
	return detail and detail.registered;
end

-- Since when the name is this account's, at the latest: where nobody else notes when accounts are
-- made, this module does so when it first looks.
function accounts.known_since(username)
	local mark, err = marks:get(username);
	if not mark and not err then
		-- The file was written when the account was made, or got another password.
		local first = { known_since = math.min(file_written(username, host) or os.time(), os.time()) };
		local ok, problem = marks:set(username, first);
		mark, err = ok and first, problem;
	end
	if not mark then error(("Nobody can tell since when there is %s: %s"):format(username, err), 0); end
	return mark.known_since;
end

-- Whether nobody can log in to it: Prosody 13 can disable an account, and puts off deletions so.
function accounts.is_disabled(username)
	return usermanager.user_is_enabled ~= nil and usermanager.user_is_enabled(username, host) == false;
end

---- What an account may do
local function check(answer, err, username)
	if answer or not err or err == "unknown-role" then return answer; end -- one that nobody defines any more
	error(("The roles of %s cannot be read: %s"):format(username, err), 0);
end

-- The names of all roles, and of Prosody 13 the roles: the primary one first. 0.12 has none. It is
-- an error if they cannot be read: there may be an admin's among them.
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

-- `roles` are the account's, of Prosody 13.
function accounts.is_admin(username, roles)
	if not roles then return usermanager.is_admin(username.."@"..host, host); end -- Prosody 0.12
	return roles[1] and roles[1]:may(module.name..":administer");
end
if module.default_permission then module:default_permission("prosody:admin", ":administer"); end

function accounts.priority(role) -- without one of its own, a role is as high as what it inherits from
	local highest = role.priority or 0;
	for _, inherited in ipairs(not role.priority and role.inherits or {}) do
		highest = math.max(highest, accounts.priority(inherited));
	end
	return highest;
end

local rank_of_users, rank_of_admins, rank_of_operators = 25, 50, 75; -- as of Prosody 13's own roles

-- Of two with an admin's rights, the one with the higher rank is above. An admin of another host
-- too can do more than who is none there.
function accounts.rank(username, roles, is_admin_elsewhere)
	local account = username.."@"..host;
	local rank = roles and 0
		or usermanager.is_admin(account) and rank_of_operators -- of the whole server
		or usermanager.is_admin(account, host) and rank_of_admins or rank_of_users;
	for _, role in ipairs(roles or {}) do rank = math.max(rank, accounts.priority(role)); end
	if is_admin_elsewhere then rank = math.max(rank, rank_of_admins) + 1; end
	return math.floor(rank);
end

---- What is asked besides a username and a password
-- mod_register_ibr's option: names of XEP-0077, with a "+" if an answer is required, or fields of
-- util.dataforms. It names no others.
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

-- Returns the names of what mod_register_ibr will miss in a query, or nil. Fields that XEP-0077
-- does not know are only in the form, which a client may leave out.
function accounts.missing_in(query)
	local missing = {};
	for _, field in ipairs(not query:get_child("x", "jabber:x:data") and asked or {}) do
		local is_known = field.required and of_xep_0077:contains(field.name);
		if is_known and (query:get_child_text(field.name) or "") == "" then table.insert(missing, field.name); end
	end
	return missing[1] and table.concat(missing, ", ");
end

-- Returns what is to be stored of the answers, a form that was submitted; or nil, and what is
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
-- Of a method that a provider lacks, usermanager has one that refuses. Others are there only to
-- refuse: a Lua function without upvalues reaches neither a storage nor a network, so it can be
-- called to learn what it says. (In Lua 5.1, globals are no upvalues.) Of all others, only a try
-- would tell.
local refusals = setmetatable({}, { __mode = "k" }); -- [provider] = { [method] = what it says, or false }
local function refusals_of(provider)
	if refusals[provider] then return refusals[provider]; end
	local said = {};
	for _, method in ipairs { "create_user", "set_password" } do
		local about = debug.getinfo(provider[method], "uS");
		local is_known = not rawget(provider, method)
			or about.what == "Lua" and about.nups == 0 and _VERSION ~= "Lua 5.1";
		local done, why;
		if is_known then done, why = provider[method]("nobody", uuid()); end
		said[method] = is_known and not done and tostring(why or done);
	end
	refusals[provider] = said;
	return said;
end

-- Why no account can ever be made ("register"), or no password be set ("reset"); or nil.
function accounts.never(purpose)
	local provider = usermanager.get_provider(host);
	local said = refusals_of(provider);
	-- Prosody 13 makes an account without a password, and then sets it.
	local is_set = purpose == "reset" or usermanager.create_user_with_role;
	local why = purpose == "register" and said.create_user or is_set and said.set_password;
	if not why then return; end
	if provider.name ~= "null" then return ("mod_auth_%s says %q"):format(provider.name, why); end
	return ("mod_auth_%s is not loaded, and Prosody's log says why"):format(
		module:get_option_string("authentication", "internal_hashed"));
end

---- Making an account
-- Returns whether the password can be one, or false and what to do.
function accounts.check_password(username, password)
	local policy, prepared = modulemanager.get_module(host, "password_policy"), stringprep.saslprep(password);
	if not prepared or prepared == "" then
		return false, "Please choose another password: this one is too long, or has characters that cannot be used";
	end
	if not policy or not policy.check_password then return true; end
	return policy.check_password(password, { username = username });
end

-- Begins to make an account of a name that is free, and returns true. Then `made` or `failed` has
-- to follow, or with `may_end_unseen` neither, as after a crash. Otherwise nobody may make it now.
function accounts.begin(username, may_end_unseen)
	local exists, is_doubtful = accounts.exists(username);
	if exists ~= false then return false; end
	if is_doubtful then return true; end -- nobody could tell a rest from another's account
	if details:get(username) then details:set(username, nil); end -- of an account that is long gone
	if not note(username, "begun") then
		begun[username] = nil;
		return false;
	end
	in_the_making[username] = may_end_unseen and now() + longest_registration or math.huge;
	return true;
end

-- The account is made, and somebody is told of it.
function accounts.made(username)
	in_the_making[username] = nil;
	if begun[username] then note(username, nil); end
end

-- The account with this password was not made. Returns whether it is certain that nothing of it is
-- left.
function accounts.failed(username, password)
	in_the_making[username] = nil;
	if begun[username] then
		begun[username] = os.time();
		local is_removed, result = remove_rest(username, password);
		if not is_removed then
			note(username, begun[username]);
			module:log("error", "Could not remove the rest of %s, whose registration failed, yet: %s",
				username, result);
		elseif result then
			return true;
		end
	end
	local exists, is_doubtful = accounts.exists(username);
	return exists == false and not is_doubtful;
end

-- Whether a provider that cannot be known before says that it never does what it was asked for.
local words_for_never = { "not implemented", "not supported", "not available", "unsupported", "read[- ]only" };
local function says_never(err)
	for _, words in ipairs(words_for_never) do
		if tostring(err):lower():find(words) then return true; end
	end
	return false;
end

-- What mod_register_ibr does when a registration is allowed. Returns true when the account or its
-- new password is stored, false when nothing is (and whether nothing ever will be), nil where
-- nobody can tell.
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
