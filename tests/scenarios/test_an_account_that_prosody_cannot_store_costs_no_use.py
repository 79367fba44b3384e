"""Prosody agrees, the daemon reserves a use, and then the disk fails:
the use is free again at once."""

import pytest

from harness.server import password_of
from harness.stories import generate, has_account, show, used
from harness.xmpp import StanzaError


async def test_the_same_session_tries_again(make_server):
    server = make_server()
    invite = generate(server)
    in_the_way = server.prosody.data_folder / "example%2eorg" / "accounts" / "carol.dat"
    in_the_way.mkdir()
    stream = await server.connect()
    await stream.preauth(invite.token)
    with pytest.raises(StanzaError):
        await stream.registration_set("carol", password_of("carol"))
    assert show(server, invite)["uses"] == 0

    in_the_way.rmdir()
    await stream.registration_set("carol", password_of("carol"))
    assert await has_account(server, "carol")
    await used(server, invite)
