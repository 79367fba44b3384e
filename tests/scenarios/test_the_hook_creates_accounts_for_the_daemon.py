"""A registration in a browser has no stream. The daemon reserves the use and asks the hook to
create the account, with everything that the invite grants, or to set the password. Other modules
hear of it as of any registration."""

import pytest

from harness.gate import PlayedDaemon, is_ping
from harness.prosody import INVITE_HOST, USUAL_MODULES
from harness.server import password_of
from harness.stories import has_account
from harness.xmpp import StanzaError, child, children, local_name

TOO_DEEP = "<a>" * 200 + "</a>" * 200


@pytest.fixture
def server(make_server):
    with_groups = INVITE_HOST.replace("{ ", '{ "groups_internal", ')
    return make_server(run_daemon=False, hosts={"example.org": with_groups},
                       modules=[*USUAL_MODULES, "watchregistrations", "welcome"])


async def test_with_everything_that_the_invite_grants(server):
    daemon, alice = await PlayedDaemon.connect(server), await server.login("alice")
    made = await daemon.create("r1", "carol", "correct <horse> & 'battery'", contact="alice@example.org",
                               roles=["prosody:admin"], groups=["family", "choir"], address="203.0.113.7")
    assert made == "made"
    await alice.roster_push("carol@example.org", "both")
    assert "Members of choir: carol" in server.prosody.log
    known = await daemon.account("carol")
    assert known.get("admin") == "true" and known.get("created-at")
    carol = await server.login("carol", "correct <horse> & 'battery'")
    assert (await carol.roster())["alice@example.org"].subscription == "both"
    assert "battery" not in server.prosody.log
    assert all(is_ping(stanza) for stanza in daemon.stream.inbox if local_name(stanza) == "iq")  # no other request


async def test_other_modules_hear_of_it(server):
    daemon, admin = await PlayedDaemon.connect(server), await server.login("admin")
    await daemon.create("r1", "carol", "password", address="203.0.113.7")
    notice = await admin.expect(lambda stanza: children(stanza, "body"), what="the notice to admins")
    assert child(notice, "body").text == "User carol just registered on example.org from 203.0.113.7"
    carol = await server.login("carol", "password")
    welcome = await carol.expect(lambda stanza: children(stanza, "body"), what="the welcome")
    assert child(welcome, "body").text == "Hello carol, welcome to the example.org IM server!"


async def test_contacts_that_cannot_be_made_at_once_are_made_at_settling(server):
    daemon, alice, mallory = await PlayedDaemon.connect(server), await server.login("alice"), await server.login("bob")
    mallory.send(f"<presence type='subscribe' to='alice@example.org'>{TOO_DEEP}</presence>")
    await mallory.roster()  # Prosody cannot store that stanza, so alice's contact list is stuck until it restarts
    made = await daemon.create("r1", "carol", password_of("carol"), contact="alice@example.org")
    assert made == "unfinished"
    assert await has_account(server, "carol")
    assert "carol@example.org" not in await alice.roster()

    server.prosody.restart()
    daemon = await PlayedDaemon.connect(server)
    assert await daemon.settle("r1", "carol", contact="alice@example.org") == "made"
    alice = await server.login("alice")
    assert (await alice.roster())["carol@example.org"].subscription == "both"


async def test_an_inviter_whose_account_cannot_be_read_becomes_a_contact_at_settling(server):
    daemon = await PlayedDaemon.connect(server)
    account = server.prosody.data_folder / "example%2eorg" / "accounts" / "alice.dat"
    kept = account.read_bytes()
    account.write_text("this is no account")
    assert await daemon.create("r1", "carol", password_of("carol"), contact="alice@example.org") == "unfinished"
    with pytest.raises(StanzaError, match="wait/"):
        await daemon.settle("r1", "carol", contact="alice@example.org")

    account.write_bytes(kept)
    assert await daemon.settle("r1", "carol", contact="alice@example.org") == "made"
    async with await server.login("carol") as carol:
        assert (await carol.roster())["alice@example.org"].subscription == "both"


async def test_a_reset_sets_the_password_and_ends_old_sessions(server):
    daemon, phone, alice = await PlayedDaemon.connect(server), await server.login("bob"), await server.login("alice")
    assert await daemon.create("r1", "bob", "new", purpose="reset", address="203.0.113.7") == "made"
    await phone.expect_end()
    assert not await has_account(server, "bob", password=password_of("bob"))
    await server.login("bob", "new")
    await alice.roster()
