"""Expiry is judged when a token is presented (XEP-0445).
A session that was in time may finish its registration."""

import pytest

from harness.server import password_of
from harness.stories import eventually, generate, has_account, register, show, used
from harness.xmpp import StanzaError


async def test_presented_in_time_and_presented_late(server):
    invite = generate(server, "--expires", "2s", "--uses", "2")
    in_time = await server.connect()
    await in_time.preauth(invite.token)
    await eventually(lambda: show(server, invite)["state"] == "expired", "the invite has expired")

    with pytest.raises(StanzaError, match="cancel/item-not-found: This invitation has expired"):
        await register(server, "late", invite)
    await in_time.registration_set("in-time", password_of("in-time"))
    assert await has_account(server, "in-time")
    assert not await has_account(server, "late")
    await used(server, invite)
    with pytest.raises(StanzaError, match="cancel/item-not-found: This invitation has expired"):
        await in_time.preauth(invite.token)
