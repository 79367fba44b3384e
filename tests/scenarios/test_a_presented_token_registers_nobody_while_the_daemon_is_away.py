"""The daemon is asked about a token when it is presented and again when the account is registered.
If it is away by then, nobody registers. When it is back, the same stream goes on."""

import pytest

from harness.stories import eventually, generate, has_account, show
from harness.xmpp import StanzaError


async def test_a_stream_that_presented_its_token_before(server):
    invite, stream = generate(server), await server.connect()
    await stream.preauth(invite.token)
    server.daemon.kill()
    with pytest.raises(StanzaError, match="wait/resource-constraint: .*try again later"):
        await stream.registration_set("carol", "carol's password")
    assert not await has_account(server, "carol")

    server.daemon.start()
    await stream.registration_set("carol", "carol's password")
    assert await has_account(server, "carol")
    await eventually(lambda: show(server, invite)["state"] == "redeemed", "the invite is used")
