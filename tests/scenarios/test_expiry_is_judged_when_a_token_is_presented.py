"""Expiry is judged when a token is presented (XEP-0445).
A session that was in time may finish its registration."""

import asyncio
import time

import pytest

from harness.server import password_of
from harness.stories import generate, has_account, in_store, register, show, used
from harness.xmpp import StanzaError


async def test_presented_in_time_and_presented_late(server):
    invite = generate(server, "--expires", "1h", "--uses", "2")
    in_time = await server.connect()
    await in_time.preauth(invite.token)
    await asyncio.sleep(1.1)  # times in the store are whole seconds
    in_store(server, "UPDATE invite SET expires_at = ? WHERE id = ?", int(time.time()), show(server, invite)["id"])

    with pytest.raises(StanzaError, match="cancel/item-not-found: This invitation has expired"):
        await register(server, "late", invite)
    await in_time.registration_set("in-time", password_of("in-time"))
    assert await has_account(server, "in-time")
    assert not await has_account(server, "late")
    await used(server, invite)
    with pytest.raises(StanzaError, match="cancel/item-not-found: This invitation has expired"):
        await in_time.preauth(invite.token)
