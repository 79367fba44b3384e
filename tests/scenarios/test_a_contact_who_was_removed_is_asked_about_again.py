"""A used invite is over: its token does not bring back a contact who was removed since."""

import pytest

from harness.stories import new_invite, register, revoke, used
from harness.xmpp import ROSTER

ALICE, CAROL = "alice@example.org", "carol@example.org"


@pytest.mark.parametrize("revoked", [False, True], ids=["used", "revoked"])
async def test_the_old_token_opens_nothing(make_server, revoked):
    server = make_server()
    alice = await server.login("alice")
    invite = await new_invite(alice)
    await register(server, "carol", invite)
    await alice.roster_push(CAROL, "both")
    carol = await server.login("carol")
    await carol.presence_from(alice.jid)
    await used(server, invite)

    await alice.ask("set", f"<query xmlns='{ROSTER}'><item jid='{CAROL}' subscription='remove'/></query>")
    await carol.roster_push(ALICE, "none")
    if revoked:
        revoke(server, invite)
    carol.subscribe(ALICE, invite.token)
    await alice.presence_from(CAROL, "subscribe")
    assert CAROL not in await alice.roster()
