"""The main job: a user makes an invite, a friend registers
with it, and both are contacts and online at once."""

import pytest

from harness.stories import new_invite, register, used
from harness.xmpp import StanzaError

pytestmark = pytest.mark.every_setup


@pytest.mark.parametrize("address", ["example.org", "invite.example.org"])
async def test_a_friend_joins_by_invite(server, address):
    friend = f"friend-by-{address}"
    alice = await server.login("alice")
    invite = await new_invite(alice, address)
    assert invite.uri == f"xmpp:alice@example.org?roster;preauth={invite.token};ibr=y"

    with pytest.raises(StanzaError, match="Registration on this server is through invitation only"):
        await register(server, friend)
    await register(server, friend, invite)
    await alice.roster_push(f"{friend}@example.org", "both")

    carol = await server.login(friend)
    await carol.presence_from(alice.jid)
    await alice.presence_from(carol.jid)
    assert (await carol.roster())["alice@example.org"].subscription == "both"
    assert (await alice.roster())[f"{friend}@example.org"].subscription == "both"

    await used(server, invite)
    with pytest.raises(StanzaError, match="cancel/item-not-found"):
        await register(server, "somebody-else", invite)
