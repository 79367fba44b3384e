"""The hook tells the daemon when an account was created, if the server knows: Prosody 13 for every
account, Prosody 0.12 for those that registered in-band."""

import re

from harness.gate import GATE, component
from harness.stories import generate, register
from harness.xmpp import child

TIMESTAMP = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"


async def test_the_daemon_is_told(make_server):
    server = make_server()
    await register(server, "carol", generate(server))
    server.daemon.stop()
    registered, added, nobody = [await created_at(server, username) for username in ("carol", "bob", "nobody")]
    assert re.fullmatch(TIMESTAMP, registered)
    if server.prosody.version == "13":
        assert re.fullmatch(TIMESTAMP, added) and added <= registered
    else:
        assert added is None
    assert nobody is None


async def created_at(server, username):
    """The hook's answer to a test that plays the daemon."""
    async with await component(server) as daemon:
        reply = await daemon.ask("get", f"<account xmlns='{GATE}' username='{username}'/>", "example.org")
        return child(reply, "account").get("created-at")
