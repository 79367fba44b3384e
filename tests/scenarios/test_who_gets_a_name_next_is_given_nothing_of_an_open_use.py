"""An account is made with an invite, and what the invite grants is not given yet. Then the account is
deleted, and somebody else gets its name. The use counts: an account was made. But the new owner of
the name gets no role, no group and no contact."""

import asyncio

import pytest

from harness.prosody import INVITE_HOST
from harness.server import password_of
from harness.stories import CREATE_ACCOUNT, eventually, generate, leave_open, register, show, used
from harness.xmpp import PING

ALICE, CAROL = "alice@example.org", "carol@example.org"
WITH_GROUPS = {"example.org": INVITE_HOST.replace("{ ", '{ "groups_internal", ')}
NEW_PASSWORD = "of the new owner"
TOO_DEEP = "<a>" * 200 + "</a>" * 200


def replace(server, account):
    server.prosody.unregister(account)
    server.prosody.adduser(account, NEW_PASSWORD)


def replace_while_prosody_is_stopped(server, account):
    server.prosody.stop()
    replace(server, account)
    server.prosody.start()


WAYS = pytest.mark.parametrize("way", [replace, replace_while_prosody_is_stopped])


@pytest.fixture
def crashed(make_server):
    """A server whose daemon is down."""
    server = make_server(hosts=WITH_GROUPS)
    server.daemon.kill()
    return server


def invite_with_everything(server):
    return generate(server, "--role", "prosody:admin", "--group", "family", "--contact", ALICE)


async def assert_nothing_is_given(server, account):
    assert "Members of family" not in server.prosody.log
    async with await server.login(account.split("@")[0], NEW_PASSWORD) as user, await server.login("alice") as alice:
        assert await user.roster() == await alice.roster() == {}
        assert CREATE_ACCOUNT not in await user.commands("example.org")


@WAYS
async def test_after_a_crash(crashed, way):
    invite = invite_with_everything(crashed)
    crashed.prosody.adduser(CAROL, password_of("carol"))
    leave_open(crashed, invite, CAROL, seconds_ago=120)
    way(crashed, CAROL)
    crashed.daemon.start()
    await used(crashed, invite)
    await assert_nothing_is_given(crashed, CAROL)


@WAYS
async def test_a_contact_of_this_host(crashed, way):
    invite = generate(crashed, "--contact", ALICE, "--contact-only")
    leave_open(crashed, invite, "bob@example.org", purpose="contact", seconds_ago=120)
    way(crashed, "bob@example.org")
    crashed.daemon.start()
    await used(crashed, invite)
    await assert_nothing_is_given(crashed, "bob@example.org")


async def test_a_deletion_that_the_daemon_hears_of_late(crashed):
    """carol is deleted and made again within the minute that a registration may take."""
    invite = invite_with_everything(crashed)
    crashed.prosody.adduser(CAROL, password_of("carol"))
    leave_open(crashed, invite, CAROL, seconds_ago=0)
    crashed.prosody.deluser(CAROL)
    crashed.prosody.adduser(CAROL, NEW_PASSWORD)
    crashed.daemon.start()
    await used(crashed, invite)
    await assert_nothing_is_given(crashed, CAROL)


async def test_while_a_contact_list_cannot_be_written(make_server):
    server = make_server(hosts=WITH_GROUPS)
    invite = generate(server, "--contact", ALICE)
    await keep_contact_list_from_being_written(server)
    await register(server, "carol", invite)
    assert show(server, invite)["uses"] == 0
    server.prosody.deluser(CAROL)
    server.prosody.adduser(CAROL, NEW_PASSWORD)
    server.prosody.restart()
    await used(server, invite)
    await eventually(lambda: server.daemon.logins == 2, "the daemon is connected again")
    await assert_nothing_is_given(server, CAROL)


async def test_who_has_the_name_all_along_is_given_everything(crashed):
    invite = invite_with_everything(crashed)
    crashed.prosody.adduser(CAROL, password_of("carol"))
    leave_open(crashed, invite, CAROL, seconds_ago=50)
    await asyncio.sleep(11)  # the daemon looks when the account was made
    crashed.daemon.start()
    await used(crashed, invite)
    assert "Members of family: carol" in crashed.prosody.log
    async with await crashed.login("carol") as carol:
        assert (await carol.roster())[ALICE].subscription == "both"
        assert CREATE_ACCOUNT in await carol.commands("example.org")


async def keep_contact_list_from_being_written(server):
    """Sends alice a contact request that Prosody cannot store."""
    async with await server.login("bob") as bob:
        bob.send(f"<presence type='subscribe' to='{ALICE}'>{TOO_DEEP}</presence>")
        await bob.ask("get", f"<ping xmlns='{PING}'/>", "example.org")
        await eventually(lambda: "max table depth reached" in server.prosody.log, "Prosody cannot keep it")
