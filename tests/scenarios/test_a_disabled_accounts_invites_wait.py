"""An inviter who is disabled, or has asked for the deletion of their account (Prosody 13 puts it
off), invites nobody. Nothing ends for good: once the account is enabled, its invites work again."""

import pytest

from harness.prosody import INVITE_HOST
from harness.stories import (generate, has_account, new_account_invite, new_invite, register, requests_to,
                             show)
from harness.web import Visitor, web_settings
from harness.xmpp import REGISTER, StanzaError

pytestmark = pytest.mark.one_setup  # 0.12 has no disabled accounts

STOPPED = "The person who created this invitation is not allowed to create such invitations at present"
GRACE = 'registration_delete_grace_period = "7d"'


async def by_an_admin(server, username):
    server.prosody.shell(f'user:disable("{username}@example.org")')


async def by_the_user_who_wants_it_deleted(server, username):
    user = await server.login(username)
    user.send(f"<iq type='set' id='remove'><query xmlns='{REGISTER}'><remove/></query></iq>")
    await user.expect_end()


def enable(server, username):
    server.prosody.shell(f'user:enable("{username}@example.org")')


WAYS = pytest.mark.parametrize("disable", [by_an_admin, by_the_user_who_wants_it_deleted], ids=lambda way: way.__name__)


@WAYS
async def test_no_invite_of_theirs_registers_until_they_are_enabled(make_server, disable):
    server = make_server(global_lines=GRACE, settings=web_settings())
    alice = await server.login("alice")
    invites = [await new_invite(alice), generate(server, "--contact", "alice@example.org", "--uses", "9"),
               generate(server, "--contact", "alice@example.org", "--username", "guest1")]
    presented = await server.connect()
    await presented.preauth(invites[0].token)
    await disable(server, "alice")
    for invite in invites:
        with pytest.raises(StanzaError, match=f"cancel/item-not-found: {STOPPED}"):
            await register(server, "guest1", invite)  # it is refused before a username is looked at
        page = await Visitor(server).get(Visitor(server).path(invite))
        assert (page.status, STOPPED in page.text) == (422, True)
    with pytest.raises(StanzaError, match=f"modify/not-acceptable: {STOPPED}"):
        await presented.registration_set("guest2", "a good password")
    assert [show(server, invite)["state"] for invite in invites] == ["pending"] * 3
    enable(server, "alice")
    await presented.registration_set("guest2", "a good password")
    assert (await Visitor(server).register(invites[1], "guest3", "kites and lamps")).status == 200
    await register(server, "guest1", invites[2])
    assert {"guest1@example.org", "guest2@example.org", "guest3@example.org"} <= set(
        await (await server.login("alice")).roster())


async def test_a_form_that_was_open_before_registers_nobody(make_server):
    server = make_server(settings=web_settings())
    invite, visitor = await new_invite(await server.login("alice")), Visitor(server)
    form = await visitor.filled_in(invite, "carol", "kites and lamps")
    await by_an_admin(server, "alice")
    refused = await visitor.post(visitor.path(invite, "register"), form)
    assert (refused.status, STOPPED in refused.text) == (422, True)
    assert not await has_account(server, "carol", password="kites and lamps")
    enable(server, "alice")
    assert (await visitor.post(visitor.path(invite, "register"), form)).status == 200


async def test_who_adds_them_as_a_contact_by_link_has_to_wait(make_server):
    server = make_server()
    invite = await new_invite(await server.login("alice"))
    await by_an_admin(server, "alice")
    bob = await server.login("bob")
    bob.subscribe("alice@example.org", invite.token)
    await bob.roster_push("alice@example.org", "none")
    enable(server, "alice")
    assert await requests_to(server, "alice") == {"bob@example.org"}, "alice is asked, as without a link"
    assert show(server, invite)["uses"] == 0


@pytest.mark.parametrize("address", ["example.org", "invite.example.org"])
async def test_a_session_that_is_still_open_makes_no_invites(make_server, address):
    server = make_server(settings={"hosts": {"example.org": {"admins": ["alice@example.org"]}}})
    alice = await server.login("alice")
    # As a module of another provider may do it, Prosody's own command closes the sessions.
    server.prosody.shell('>require"core.usermanager".get_provider("example.org").disable("alice")')
    with pytest.raises(StanzaError, match="The account alice@example.org is disabled"):
        await new_invite(alice, address)
    with pytest.raises(AssertionError, match="The account alice@example.org is disabled"):
        await new_account_invite(alice, {"roster-subscription": "0"}, address)
    enable(server, "alice")
    await new_invite(alice, address)


async def test_accounts_of_a_provider_that_disables_none_are_enabled(make_server):
    """internal_plain writes "disabled" into each new account, and lets it log in all the same."""
    server = make_server(hosts={"example.org": INVITE_HOST + '    authentication = "internal_plain"'})
    await register(server, "carol", generate(server))
    async with await server.login("carol") as carol:
        await register(server, "dave", await new_invite(carol))
    await register(server, "carol", generate(server, "--reset", "carol"), password="a new one")
    assert await has_account(server, "carol", password="a new one")


async def test_the_operator_is_told(make_server):
    server = make_server()
    await by_an_admin(server, "alice")
    refused = server.daemon.cli("generate", "example.org", "--contact", "alice@example.org")
    assert (refused.returncode, "The account alice@example.org is disabled" in refused.stderr) == (1, True)
