"""One Prosody and one daemon serve two VirtualHosts.
A username that an invite reserves on one is free on the other."""

import pytest

from harness.prosody import INVITE_HOST
from harness.stories import generate, has_account, register
from harness.xmpp import StanzaError

HOSTS = {"example.org": INVITE_HOST, "example.net": INVITE_HOST + 'easy_invite_component = "invite.example.org"\n'}


async def test_carol_of_two_hosts(make_server):
    server = make_server(hosts=HOSTS)
    carols = generate(server, "--username", "carol", host="example.org")
    await register(server, "carol", generate(server, host="example.net"), domain="example.net")
    with pytest.raises(StanzaError, match="cancel/conflict"):
        await register(server, "carol", generate(server, host="example.org"))
    await register(server, "carol", carols)
    assert await has_account(server, "carol") and await has_account(server, "carol", domain="example.net")
