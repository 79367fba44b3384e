"""While the daemon is away, its commands on the server's address end with an error at once, the
list of commands has only Prosody's own, and the component's address answers with an error."""

import time

import pytest

from harness.stories import NEW_INVITE, new_invite
from harness.xmpp import StanzaError

AT_ONCE = 5  # seconds, for all of them: the module's timeout for one question to a daemon that hangs


async def test_commands_and_lists(server):
    alice = await server.login("alice")
    assert NEW_INVITE in await alice.commands("example.org")
    server.daemon.kill()
    started = time.monotonic()
    with pytest.raises(StanzaError, match="wait/resource-constraint: .*try again later"):
        await new_invite(alice)
    with pytest.raises(StanzaError, match="wait/resource-constraint: .*try again later"):
        await alice.disco_info("example.org", NEW_INVITE)
    with pytest.raises(StanzaError, match="wait/"):
        await new_invite(alice, "invite.example.org")
    assert NEW_INVITE not in await alice.commands("example.org")
    assert time.monotonic() - started < AT_ONCE
