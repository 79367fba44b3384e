"""The hook tells the daemon when an account was created, if the server knows: Prosody 13 knows it
of every account, Prosody 0.12 of those that registered in-band. Of any other account, the hook says
since when it knows the account, which is another time if somebody else gets the name."""

import asyncio
import re

import pytest

from harness.gate import GATE, component
from harness.stories import generate, register
from harness.xmpp import child

TIMESTAMP = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"


async def test_the_daemon_is_told(make_server):
    server = make_server()
    await register(server, "carol", generate(server))
    server.daemon.stop()
    registered, added, nobody = [await ages(server, username) for username in ("carol", "bob", "nobody")]
    assert re.fullmatch(TIMESTAMP, registered["created-at"]) and "known-since" not in registered
    known, unknown = ("created-at", "known-since") if server.prosody.version == "13" else ("known-since", "created-at")
    assert re.fullmatch(TIMESTAMP, added[known]) and added[known] <= registered["created-at"]
    assert unknown not in added
    assert nobody == {}


@pytest.mark.parametrize("storage", ["internal", "sql"])
async def test_another_account_of_that_name_is_younger(make_server, storage):
    server = make_server(storage=storage)
    server.daemon.stop()
    first = await ages(server, "bob")
    await asyncio.sleep(1)
    server.prosody.shell('user:password("bob@example.org", "new")')
    assert await ages(server, "bob") == first, "another password makes no other account"
    server.prosody.restart()
    assert await ages(server, "bob") == first
    server.prosody.unregister("bob@example.org")
    await asyncio.sleep(1)
    server.prosody.adduser("bob@example.org", "newest")
    second = await ages(server, "bob")
    assert second.keys() == first.keys()
    assert max(second.values()) > max(first.values())


async def ages(server, username):
    """The instants in the hook's answer to a test that plays the daemon."""
    async with await component(server) as daemon:
        reply = await daemon.ask("get", f"<account xmlns='{GATE}' username='{username}'/>", "example.org")
        attributes = child(reply, "account").attrib
        return {name: attributes[name] for name in ("created-at", "known-since") if name in attributes}
