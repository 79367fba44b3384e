"""While the daemon is away, its commands on the server's address end with an error at once, the
list of commands has only Prosody's own, and the component's address answers with an error."""

import asyncio

import pytest

from harness.stories import NEW_INVITE, new_invite
from harness.xmpp import PING, StanzaError

LATER = 3  # requests


async def test_commands_and_lists(server):
    alice = await server.login("alice")
    assert NEW_INVITE in await alice.commands("example.org")
    server.daemon.kill()
    bob = await server.login("bob")
    with pytest.raises(StanzaError, match="wait/resource-constraint: .*try again later"):
        await at_once(new_invite(alice), bob)
    with pytest.raises(StanzaError, match="wait/resource-constraint: .*try again later"):
        await at_once(alice.disco_info("example.org", NEW_INVITE), bob)
    with pytest.raises(StanzaError, match="wait/"):
        await at_once(new_invite(alice, "invite.example.org"), bob)
    assert NEW_INVITE not in await at_once(alice.commands("example.org"), bob)


async def at_once(request, other):
    """The answer to a request, which must come before the answers to some later ones of another user."""
    asking = asyncio.create_task(request)
    await asyncio.sleep(0)  # it is sent
    for _ in range(LATER):
        await other.ask("get", f"<ping xmlns='{PING}'/>", "example.org")
    assert asking.done(), "it waits for something"
    return await asking
