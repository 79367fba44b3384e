-- Accounts that another system keeps: Prosody can ask whether one exists, and a "no" may mean
-- anything. A test sets them with `> require "core.usermanager".get_provider(HOST).accounts.NAME =
-- true`.
local accounts = {};

module:provides("auth", {
	accounts = accounts;
	user_exists = function (username) return accounts[username]; end;
	create_user = function (username) accounts[username] = true; return true; end;
	set_password = function (username) return accounts[username]; end;
	delete_user = function (username) accounts[username] = nil; return true; end;
	test_password = function (username) return accounts[username]; end;
	get_sasl_handler = function () return require "util.sasl".new(module.host, {}); end;
});
