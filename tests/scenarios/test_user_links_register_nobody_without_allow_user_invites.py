"""With `allow_user_invites = false`, a user's link says nothing of registering, registers nobody
with any client, and still makes a contact. This holds also for links from before the option was
set."""

import pytest

from harness.clients import ALL_THAT_REDEEM, ClientError
from harness.stories import has_account, new_invite, register
from harness.web import Visitor, web_settings
from harness.xmpp import StanzaError


@pytest.fixture
def strict(make_server):
    return make_server(settings={"hosts": {"example.org": {"allow_user_invites": False}}})


async def test_no_client_registers(strict):
    invite = await new_invite(await strict.login("alice"))
    assert invite.uri == f"xmpp:alice@example.org?roster;preauth={invite.token}"
    with pytest.raises(StanzaError, match="cancel/item-not-found"):
        await register(strict, "carol", invite)
    for client in ALL_THAT_REDEEM:
        with pytest.raises(ClientError):
            await client(strict).redeem(invite.uri + ";ibr=y", "carol", "carol's password")
    assert not await has_account(strict, "carol")


async def test_a_client_that_goes_on_after_the_refusal_is_refused(strict):
    invite = await new_invite(await strict.login("alice"))
    stream = await strict.connect()
    with pytest.raises(StanzaError):
        await stream.preauth(invite.token)
    with pytest.raises(StanzaError, match="through invitation only"):
        await stream.registration_set("carol", "carol's password")


async def test_it_makes_a_contact(strict):
    alice, bob = await strict.login("alice"), await strict.login("bob")
    bob.subscribe("alice@example.org", (await new_invite(alice)).token)
    await alice.roster_push("bob@example.org", "both")
    await bob.roster_push("alice@example.org", "both")


@pytest.mark.one_setup
async def test_links_from_before_register_nobody_any_more(make_server):
    server = make_server()
    alice = await server.login("alice")
    invite, presented = await new_invite(alice), await new_invite(alice)
    stream = await server.connect()
    await stream.preauth(presented.token)

    server.daemon.config["hosts"]["example.org"]["allow_user_invites"] = False
    server.daemon.restart()
    with pytest.raises(StanzaError, match="cancel/item-not-found"):
        await register(server, "carol", invite)
    with pytest.raises(StanzaError, match="modify/not-acceptable"):
        await stream.registration_set("carol", "carol's password")
    assert not await has_account(server, "carol")


@pytest.mark.one_setup
async def test_their_pages_offer_only_a_contact(make_server):
    server = make_server(settings=web_settings())
    invite, visitor = await new_invite(await server.login("alice")), Visitor(server)
    assert "ibr=y" in (await visitor.get(visitor.path(invite))).body
    server.daemon.config["hosts"]["example.org"]["allow_user_invites"] = False
    server.daemon.restart()
    for page in ("", "apps"):
        shown = await visitor.get(visitor.path(invite, page))
        assert shown.status == 200 and "roster;preauth=" in shown.body
        assert "ibr=y" not in shown.body + str(shown.headers) and "/register" not in shown.body


@pytest.mark.one_setup
async def test_an_admins_link_registers(strict):
    invite = await new_invite(await strict.login("admin"))
    await register(strict, "carol", invite)
