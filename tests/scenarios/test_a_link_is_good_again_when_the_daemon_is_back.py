"""Prosody goes on while the daemon is replaced.
Then New Invite works again by itself, and earlier links are good."""

import pytest

from harness.stories import new_invite, register
from harness.xmpp import StanzaError


async def test_the_daemon_goes_and_comes_back(server):
    alice = await server.login("alice")
    invite = await new_invite(alice)
    server.daemon.kill()
    with pytest.raises(StanzaError):
        await register(server, "carol", invite)
    server.daemon.start()
    await register(server, "carol", invite)
    await alice.roster_push("carol@example.org", "both")
    await register(server, "dave", await new_invite(alice))
    await alice.roster_push("dave@example.org", "both")
