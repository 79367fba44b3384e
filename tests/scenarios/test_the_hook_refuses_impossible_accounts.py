"""The hook creates no account with a username that is taken or impossible, with an impossible
password, or under a reservation that was given up, was used before, or belongs to another server. A
refusal leaves nothing behind."""

import asyncio

import pytest

from harness.gate import GATE, PlayedDaemon
from harness.prosody import INVITE_HOST, USUAL_MODULES
from harness.server import password_of
from harness.stories import eventually, has_account, held
from harness.xmpp import StanzaError

MAY_BE_HELD = {"modules": [*USUAL_MODULES, "held_registrations"]}
GIVEN_UP = "wait/resource-constraint: This registration was given up"


@pytest.fixture
def server(make_server):
    return make_server(run_daemon=False)


@pytest.mark.parametrize("username, password, error", [
    ("bob", "password", "cancel/conflict: The requested username already exists."),
    ("Carol", "password", "modify/jid-malformed"),
    ("ca rol", "password", "modify/jid-malformed"),
    ("carol", "\ue000", "modify/policy-violation"),  # SASLprep refuses characters for private use
], ids=["taken", "not-folded", "impossible", "password"])
async def test_an_impossible_username_or_password(server, username, password, error):
    daemon = await PlayedDaemon.connect(server)
    with pytest.raises(StanzaError, match=error):
        await daemon.create("r1", username, password)
    assert await has_account(server, "bob")
    with pytest.raises(StanzaError, match=GIVEN_UP):  # each try needs its own reservation
        await daemon.create("r1", "dave", "password")
    assert await daemon.settle("r1", "bob") == "not-made"
    assert not await daemon.account_exists("dave")
    assert await daemon.create("r2", "dave", "password") == "made"


async def test_a_reset_without_an_account(server):
    daemon = await PlayedDaemon.connect(server)
    with pytest.raises(StanzaError, match="cancel/item-not-found"):
        await daemon.create("r1", "carol", "password", purpose="reset")
    assert not await daemon.account_exists("carol")


async def test_a_malformed_request(server):
    daemon = await PlayedDaemon.connect(server)
    for attributes in ({"purpose": "contact"}, {"purpose": ""}):
        with pytest.raises(StanzaError, match="modify/bad-request"):
            await daemon.create("r1", "carol", "password", **attributes)
    with pytest.raises(StanzaError, match="modify/bad-request"):
        await daemon.create("r1", "carol", "")
    with pytest.raises(StanzaError, match="modify/bad-request"):
        await daemon.stream.ask("set", f"<create xmlns='{GATE}' reservation='r1' server='{daemon.server_id}' "
                                       "username='carol' purpose='register'/>", "example.org")
    assert not await daemon.account_exists("carol")


async def test_another_servers_reservation(server):
    daemon = await PlayedDaemon.connect(server)
    for other in ("0b0f0c4e-0000-0000-0000-000000000000", ""):
        assert await daemon.create("r1", "carol", "password", server=other) == "elsewhere"
    assert not await daemon.account_exists("carol")


async def test_a_reservation_that_was_given_up(server):
    daemon = await PlayedDaemon.connect(server)
    assert await daemon.settle("r1", "carol") == "not-made"
    with pytest.raises(StanzaError, match=GIVEN_UP):
        await daemon.create("r1", "carol", "password")
    assert not await daemon.account_exists("carol")


async def test_the_same_reservation_twice(make_server):
    server = make_server(run_daemon=False, **MAY_BE_HELD)
    daemon = await PlayedDaemon.connect(server)
    with held(server):
        first = asyncio.create_task(daemon.create("r1", "carol", "password"))
        await asyncio.sleep(0)
        assert await daemon.create("r1", "dave", "password") == "in-flight"
        assert await daemon.settle("r1", "carol") == "in-flight"
        assert not await daemon.account_exists("carol")
    assert await first == "made"
    assert await daemon.create("r1", "dave", "password") == "in-flight"  # only settling it tells more
    assert await daemon.settle("r1", "carol") == "made"
    assert not await daemon.account_exists("dave")


async def test_a_connection_lost_in_the_middle_leaves_it_to_settle(make_server):
    server = make_server(run_daemon=False, **MAY_BE_HELD)
    daemon = await PlayedDaemon.connect(server)
    with held(server):
        lost = asyncio.create_task(daemon.create("r1", "carol", "password"))
        await eventually(lambda: "Holding carol's registration" in server.prosody.log, "it is being created")
        daemon.stream.abort()
        with pytest.raises(ConnectionError):
            await lost
        daemon = await PlayedDaemon.connect(server)
        assert await daemon.settle("r1", "carol") == "in-flight"

    async def is_made():
        return await daemon.settle("r1", "carol") == "made"

    await eventually(is_made, "it has been made")
    assert await has_account(server, "carol", password="password")


async def test_an_account_that_cannot_be_stored(server):
    daemon = await PlayedDaemon.connect(server)
    in_the_way = server.prosody.data_folder / "example%2eorg" / "accounts" / "carol.dat"
    in_the_way.mkdir()
    for reservation in ("r1", "r2"):
        with pytest.raises(StanzaError, match="wait/internal-server-error"):
            await daemon.create(reservation, "carol", password_of("carol"))
    in_the_way.rmdir()
    assert await daemon.create("r3", "carol", password_of("carol")) == "made"
    assert await has_account(server, "carol")


async def test_details_that_cannot_be_stored(server):
    daemon = await PlayedDaemon.connect(server)
    details = server.prosody.data_folder / "example%2eorg" / "account_details"
    (details / "carol.dat").mkdir(parents=True)
    with pytest.raises(StanzaError, match="wait/internal-server-error"):
        await daemon.create("r1", "carol", password_of("carol"))
    assert not await daemon.account_exists("carol")


@pytest.mark.parametrize("stuck", ["before", "after"])
async def test_other_modules_that_fail(make_server, tmp_path, stuck):
    event = {"before": "user-registering", "after": "user-registered"}[stuck]
    (tmp_path / "mod_broken.lua").write_text(f'module:hook("{event}", function () error("broken") end);')
    server = make_server(run_daemon=False, plugin_folders=[tmp_path], hosts={"example.org": INVITE_HOST.replace(
        "{ ", '{ "broken", ')})
    daemon = await PlayedDaemon.connect(server)
    if stuck == "before":
        with pytest.raises(StanzaError, match="wait/internal-server-error"):
            await daemon.create("r1", "carol", "password", contact="alice@example.org")
        assert await daemon.settle("r1", "carol") == "not-made"
    else:
        assert await daemon.create("r1", "carol", "password", contact="alice@example.org") == "in-flight"
        assert await daemon.settle("r1", "carol", contact="alice@example.org") == "made"
    assert await daemon.account_exists("carol") == (stuck == "after")
