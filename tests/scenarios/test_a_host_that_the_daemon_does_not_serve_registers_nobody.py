"""A VirtualHost has the module, but no table in the daemon's configuration. Nobody registers there,
and a log line tells the operator what is missing."""

import re

import pytest

from harness.prosody import INVITE_HOST
from harness.stories import generate, has_account, register
from harness.xmpp import StanzaError

HOSTS = {"example.org": INVITE_HOST, "example.net": INVITE_HOST + 'easy_invite_component = "invite.example.org"\n'}


async def test_a_forgotten_host(make_server):
    server = make_server(hosts=HOSTS, settings={"hosts": {"example.net": None}})
    invite = generate(server)
    for presented in (None, invite):
        with pytest.raises(StanzaError):
            await register(server, "carol", presented, domain="example.net")
    assert not await has_account(server, "carol", domain="example.net")
    log = server.prosody.log + server.daemon.log
    assert [line for line in log.splitlines() if "example.net" in line and re.search("(?i)\\b(warn|error)\\b", line)]
    await register(server, "carol", invite)
