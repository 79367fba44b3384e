"""With `registration_invite_only = false`, people register
without an invite, and taken usernames stay taken."""

import pytest

from harness.stories import has_account, register
from harness.xmpp import StanzaError

OPEN = {"hosts": {"example.org": {"registration_invite_only": False}}}


async def test_nobody_needs_an_invite(make_server):
    server = make_server(settings=OPEN)
    await register(server, "carol")
    assert await has_account(server, "carol")
    with pytest.raises(StanzaError, match="cancel/conflict: The requested username already exists"):
        await register(server, "alice", password="mallory's")
    assert await has_account(server, "alice")
