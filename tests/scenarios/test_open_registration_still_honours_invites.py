"""With `registration_invite_only = false`, an invite still gives what it grants: a contact, a role,
a new password. Its use is counted."""

import pytest

from harness.stories import CREATE_ACCOUNT, eventually, generate, has_account, new_invite, register, show
from harness.xmpp import StanzaError

OPEN = {"hosts": {"example.org": {"registration_invite_only": False}}}


@pytest.fixture
def open_server(make_server):
    return make_server(settings=OPEN)


async def test_a_friend_becomes_a_contact_and_the_link_is_used(open_server):
    alice = await open_server.login("alice")
    invite = await new_invite(alice)
    await register(open_server, "carol", invite)
    await alice.roster_push("carol@example.org", "both")
    await eventually(lambda: show(open_server, invite)["state"] == "redeemed", "the use is counted")
    with pytest.raises(StanzaError, match="cancel/item-not-found"):
        await register(open_server, "dave", invite)


async def test_a_role_is_given(open_server):
    await register(open_server, "carol", generate(open_server, "--role", "prosody:admin"))
    carol = await open_server.login("carol")
    assert CREATE_ACCOUNT in await carol.commands("example.org")


async def test_a_password_is_reset(open_server):
    await register(open_server, "bob", generate(open_server, "--reset", "bob"), password="a new one")
    assert await has_account(open_server, "bob", password="a new one")
    assert not await has_account(open_server, "bob")
