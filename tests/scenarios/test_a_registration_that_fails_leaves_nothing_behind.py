"""Whatever fails while somebody registers (another module, a role, a store that cannot be written),
the client gets an answer, the account store is as before, and the use is free again. An account
that somebody was told of stays."""

import asyncio
import sqlite3

import pytest

from harness.prosody import INVITE_HOST, USUAL_MODULES
from harness.server import password_of
from harness.stories import (accounts_on_disk, eventually, generate, has_account, held, register, registers, show, used,
                             uses_taken)
from harness.web import Visitor, web_settings
from harness.xmpp import StanzaError

OPEN = {"hosts": {"example.org": {"registration_invite_only": False}}}
ALL_THAT_REGISTER = {"an-invite": {}, "open": OPEN}
PASSWORD = "correct horse battery"
LONGEST_REGISTRATION = 60  # seconds: after that the module gives up one whose end it does not see

# What another module does: while carol registers, it fails at this event.
RAISE = 'module:hook("{event}", function (event) if event.username == "carol" then error("broken") end end, 500);'
LATE = """
module:add_timer(0, function () -- around all wrappers that are there
	module:wrap_event("user-registering", function (handlers, name, event)
		handlers(name, event);
		if event.username == "carol" then {what} end
	end);
end);
"""
MODULES = {
    "an-error-before": RAISE.format(event="user-registering"),
    "a-late-refusal": LATE.format(what='event.allowed, event.reason = false, "not today";'),
    "a-late-error": LATE.format(what='error("broken");'),
    "a-password-policy-with-an-error": 'function check_password() error("broken"); end',
    "a-waiting-error": """
module:hook("user-registering", function (event)
	require "util.async".sleep(0.1);
	if event.username == "carol" then error("broken"); end
end);""",
}
# Waits until somebody else has made carol's account.
WAIT = """
repeat require "util.async".sleep(0.1) until require "core.usermanager".user_exists("carol", module.host);
"""
# Prosody 13 has these events while it makes an account, before it is complete.
STEPS = {event: RAISE.format(event=event).replace("module:hook", "module:context('*'):hook")
         for event in ("user-role-changed", "user-password-changed", "user-enabled")}
# Once, while carol's details are written, the disk fails: they cannot be, and her account cannot be
# removed.
STUCK = """
local datamanager = require "util.datamanager";
local is_struck = false;
datamanager.add_callback(function (username, host, store, data)
	if username == "carol" and store == "account_details" and data and not is_struck then
		is_struck = true;
		local path = datamanager.getpath(username, host, "accounts");
		local details = datamanager.getpath(username, host, "account_details");
		os.rename(path, path..".kept");
		os.execute("mkdir -p '"..path.."' '"..details.."'");
		io.open(path.."/x", "w"):close();
	end
	return username, host, store, data;
end);
"""


@pytest.fixture
def server_with(make_server, tmp_path):
    """A function that starts a server with one more module, which has this code."""
    def start(code, name="broken", settings=None, **options):
        (tmp_path / f"mod_{name}.lua").write_text(code)
        host = INVITE_HOST.replace("{ ", f'{{ "{name}", ')
        return make_server(plugin_folders=[tmp_path], hosts={"example.org": host},
                           settings={**web_settings(), **(settings or {})}, **options)
    return start


async def refused_and_as_before(server, settings, *, then="dave"):
    """carol is refused, and nothing is left of her. Somebody else uses the link."""
    invite = None if settings else generate(server)
    before = accounts_on_disk(server)
    for _ in range(2):
        with pytest.raises(StanzaError) as refused:
            await register(server, "carol", invite)
        assert accounts_on_disk(server) == before, str(refused.value)
    if invite:
        await eventually(lambda: show(server, invite)["uses"] == 0, "the use is free again")
    await register(server, then, invite)
    assert await has_account(server, then)
    return refused.value


@pytest.mark.parametrize("settings", ALL_THAT_REGISTER.values(), ids=ALL_THAT_REGISTER)
@pytest.mark.parametrize("fault", MODULES)
async def test_another_module_fails(server_with, fault, settings):
    server = server_with(MODULES[fault], name="password_policy" if "policy" in fault else "broken", settings=settings)
    if "policy" in fault:
        invite, before = generate(server), accounts_on_disk(server)
        with pytest.raises(StanzaError, match="wait/internal-server-error"):
            await register(server, "carol", invite)
        assert accounts_on_disk(server) == before and show(server, invite)["uses"] == 0
        return
    refusal = await refused_and_as_before(server, settings)
    assert refusal.text.startswith("not today" if "refusal" in fault else "The server cannot do this now")


@pytest.mark.one_setup
@pytest.mark.parametrize("settings", ALL_THAT_REGISTER.values(), ids=ALL_THAT_REGISTER)
@pytest.mark.parametrize("event", STEPS)
async def test_another_module_fails_within_the_creation(server_with, event, settings):
    await refused_and_as_before(server_with(STEPS[event], settings=settings), settings)


@pytest.mark.one_setup
@pytest.mark.parametrize("event", STEPS)
async def test_the_same_in_a_browser(server_with, event):
    server = server_with(STEPS[event])
    invite, before = generate(server, "--username", "carol"), accounts_on_disk(server)
    assert (await Visitor(server).register(invite, "carol", PASSWORD)).status == 503
    assert accounts_on_disk(server) == before
    assert show(server, invite)["uses"] == 0


@pytest.mark.one_setup
@pytest.mark.parametrize("event", STEPS)
async def test_the_same_with_accounts_in_a_database(server_with, event):
    server = server_with(STEPS[event], storage="sql")
    with sqlite3.connect(server.prosody.data_folder / "prosody.sqlite") as database:
        # Those without a user are the server's own: it notes when it has done its regular work.
        rows = "SELECT user, store, key, value FROM prosody WHERE user <> '' ORDER BY 1, 2, 3"
        before = database.execute(rows).fetchall()
        with pytest.raises(StanzaError, match="wait/internal-server-error"):
            await register(server, "carol", generate(server))
        assert before and database.execute(rows).fetchall() == before


async def test_who_was_told_of_the_account_keeps_it(server_with):
    server = server_with(RAISE.format(event="user-registered"))
    invite = generate(server, "--contact", "alice@example.org")
    await register(server, "carol", invite)
    assert await has_account(server, "carol")
    await used(server, invite)
    async with await server.login("carol") as carol:
        assert (await carol.roster())["alice@example.org"].subscription == "both"


@pytest.mark.one_setup
@pytest.mark.parametrize("settings", ALL_THAT_REGISTER.values(), ids=ALL_THAT_REGISTER)
async def test_a_role_that_there_is_not(make_server, settings):
    server = make_server(settings=settings, hosts={
        "example.org": INVITE_HOST + '    register_ibr_default_role = "nobody:knows"\n'})
    invite, before = None if settings else generate(server), accounts_on_disk(server)
    with pytest.raises(StanzaError, match="wait/internal-server-error"):
        await register(server, "carol", invite)
    assert accounts_on_disk(server) == before
    assert not invite or show(server, invite)["uses"] == 0


@pytest.mark.parametrize("settings", ALL_THAT_REGISTER.values(), ids=ALL_THAT_REGISTER)
@pytest.mark.parametrize("store", ["accounts", "account_details"])
async def test_a_file_that_cannot_be_written(make_server, store, settings):
    await a_file_in_the_way(make_server(settings=settings), store, settings)


@pytest.mark.one_setup
@pytest.mark.parametrize("settings", ALL_THAT_REGISTER.values(), ids=ALL_THAT_REGISTER)
async def test_a_role_that_cannot_be_written(make_server, settings):
    server = make_server(settings=settings, hosts={
        "example.org": INVITE_HOST + '    register_ibr_default_role = "prosody:member"\n'})
    await a_file_in_the_way(server, "account_roles", settings)


async def a_file_in_the_way(server, store, settings):
    """While a file cannot be written, carol gets no account, and afterwards she does."""
    in_the_way = server.prosody.data_folder / "example%2eorg" / store / "carol.dat"
    in_the_way.mkdir(parents=True)
    invite, before = None if settings else generate(server, "--username", "carol"), accounts_on_disk(server)
    with pytest.raises(StanzaError):
        await register(server, "carol", invite)
    assert accounts_on_disk(server) == before
    assert not invite or show(server, invite)["uses"] == 0
    if in_the_way.exists():  # removing an account removes empty folders, too
        in_the_way.rmdir()
    await register(server, "carol", invite)
    assert await has_account(server, "carol")


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("settings", ALL_THAT_REGISTER.values(), ids=ALL_THAT_REGISTER)
async def test_an_account_that_cannot_be_removed_at_once_is_removed_later(server_with, settings, restarted):
    server = server_with(STUCK, settings=settings)
    invite, before = None if settings else generate(server, "--username", "carol"), accounts_on_disk(server)
    for _ in range(2):
        with pytest.raises(StanzaError):
            await register(server, "carol", invite)
    if restarted:
        server.prosody.kill()
    put_back(server)
    if restarted:
        server.prosody.hosts["example.org"] = INVITE_HOST
        server.prosody.start()
        await eventually(lambda: accounts_on_disk(server) == before, "the rest is gone")
    await eventually(lambda: registers(server, "carol", invite), "the name is free")
    assert await has_account(server, "carol")
    if invite:
        await used(server, invite)


# Another door: a module that registers carol by Prosody's API when it is loaded.
DOOR = """
local usermanager = require "core.usermanager";
local create = usermanager.create_user_with_role or usermanager.create_user;
local session = {{ type = "c2s_unauthed", host = module.host, send = function () end, log = module._log }};
local event = {{ username = "carol", password = "carol's password", host = module.host, ip = "127.0.0.3";
	session = {session}, additional = {{}}, allowed = true }};
require "util.async".runner(function ()
	module:fire_event("user-registering", event);
	module:log("info", "The door is %s", event.allowed and "open" or "shut");
	if not event.allowed then return; end
	create(event.username, event.password, event.host, "prosody:registered");
	module:fire_event("user-registered", {{ username = event.username, host = event.host, session = event.session }});
end):run(true);
"""
SESSIONS = pytest.mark.parametrize("session", ["session", "nil"], ids=["with-a-session", "without-one"])


async def come_through_a_door(server, tmp_path, session):
    (tmp_path / "mod_door.lua").write_text(DOOR.format(session=session))
    server.prosody.shell('module:load("door", "example.org")')
    await eventually(lambda: "The door is open" in server.prosody.log, "the door is open")


@SESSIONS
async def test_an_account_of_another_door_is_there_at_once(server_with, tmp_path, session):
    server = server_with("", settings=OPEN)
    await come_through_a_door(server, tmp_path, session)
    assert await has_account(server, "carol", password="carol's password")
    with pytest.raises(StanzaError, match="cancel/conflict"):
        await register(server, "carol")


@pytest.mark.one_setup
@pytest.mark.seconds(LONGEST_REGISTRATION + 60)
@SESSIONS
@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
async def test_another_door_fails(server_with, tmp_path, session, restarted):
    server = server_with(STEPS["user-role-changed"], settings=OPEN)
    before = accounts_on_disk(server)
    await come_through_a_door(server, tmp_path, session)
    assert "accounts/carol.dat" in accounts_on_disk(server)
    if restarted:
        server.prosody.hosts["example.org"] = INVITE_HOST
        server.prosody.restart()
    else:
        await asyncio.sleep(LONGEST_REGISTRATION + 0.5)
        assert not await registers(server, "carol", None)
    await eventually(lambda: accounts_on_disk(server) == before, "the rest is gone")


async def new_account(server):
    server.prosody.deluser("carol@example.org")
    server.prosody.adduser("carol@example.org", "the operator's")


async def new_account_behind_the_servers_back(server):
    server.prosody.unregister("carol@example.org")
    server.prosody.adduser("carol@example.org", "the operator's")


async def new_password(server):
    server.prosody.shell('user:password("carol@example.org", "the operator\'s")')


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("make", [new_account, new_account_behind_the_servers_back, new_password])
async def test_what_an_operator_makes_of_the_rest_stays(server_with, make, restarted):
    server = server_with(STUCK, settings=OPEN)
    with pytest.raises(StanzaError):
        await register(server, "carol")
    await asyncio.sleep(1.1)  # what is written in the same second is the rest
    put_back(server)
    await make(server)
    if restarted:
        server.prosody.hosts["example.org"] = INVITE_HOST
        server.prosody.restart()
    assert not await registers(server, "carol", None)
    assert await has_account(server, "carol", password="the operator's")


@pytest.mark.parametrize("then", ["", "event.allowed = false;"], ids=["goes-on", "refuses"])
async def test_an_account_that_an_admin_makes_meanwhile_stays(server_with, then):
    server = server_with(LATE.format(what=WAIT + then))
    invite = generate(server, "--contact", "alice@example.org")
    trying = asyncio.create_task(registers(server, "carol", invite))
    await eventually(lambda: uses_taken(server, invite) == 1, "the use is reserved")
    await asyncio.to_thread(server.prosody.adduser, "carol@example.org", PASSWORD)
    assert not await trying
    await eventually(lambda: uses_taken(server, invite) == 0, "the use is free again")
    async with await server.login("carol", PASSWORD) as carol:
        assert await carol.roster() == {}


def put_back(server):
    """Makes up for what STUCK has done."""
    folder = server.prosody.data_folder / "example%2eorg"
    (folder / "accounts" / "carol.dat" / "x").unlink()
    for store in ("accounts", "account_details"):
        (folder / store / "carol.dat").rmdir()
    (folder / "accounts" / "carol.dat.kept").rename(folder / "accounts" / "carol.dat")


async def test_a_client_that_goes_in_the_middle(make_server):
    server = make_server(modules=[*USUAL_MODULES, "held_registrations"])
    invite, before = generate(server), accounts_on_disk(server)
    stream = await server.connect()
    await stream.preauth(invite.token)
    goodbyes = server.prosody.log.count("Client disconnected")
    with held(server, "before"):
        going = asyncio.create_task(stream.registration_set("carol", password_of("carol")))
        await eventually(lambda: "Holding carol's registration" in server.prosody.log, "it has begun")
        stream.abort()
        with pytest.raises(ConnectionError):
            await going
        await eventually(lambda: server.prosody.log.count("Client disconnected") > goodbyes, "the stream is gone")
    await asyncio.sleep(1)  # until it has gone on
    await eventually(lambda: accounts_on_disk(server) == before, "nothing is left")
    assert show(server, invite)["uses"] == 0
    await register(server, "carol", invite)
    assert await has_account(server, "carol")


@pytest.mark.parametrize("door", ["chat", "browser"])
async def test_a_reset_that_cannot_be_stored_changes_nothing(server_with, door):
    server = server_with("")
    link, before = generate(server, "--reset", "bob"), accounts_on_disk(server)
    in_the_way = server.prosody.data_folder / "example%2eorg" / "accounts" / "bob.dat~"  # written first, then renamed
    in_the_way.mkdir()

    async def resets():
        if door == "browser":
            return (await Visitor(server).reset(link, PASSWORD)).status == 200
        async with await server.connect() as stream:
            await stream.preauth(link.token)
            try:
                await stream.registration_set("bob", PASSWORD)
            except StanzaError as refusal:
                assert refusal.type == "wait", str(refusal)
                return False
            return True

    assert not await resets()
    assert accounts_on_disk(server) == before
    assert await has_account(server, "bob") and show(server, link)["uses"] == 0
    in_the_way.rmdir()
    assert await resets()
    assert await has_account(server, "bob", password=PASSWORD)
