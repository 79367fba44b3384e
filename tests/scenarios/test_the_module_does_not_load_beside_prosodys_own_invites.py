"""Beside Prosody's own invites modules, which Debian's configuration enables, the module does not
load. One error line says what to add. With that line, it loads."""

import re

import pytest

from harness.prosody import USUAL_MODULES
from harness.stories import new_invite
from harness.xmpp import StanzaError

DEBIANS = [*USUAL_MODULES, "invites", "invites_adhoc", "invites_register"]
REMEDY = re.compile(r'VirtualHost "example.org": (modules_disabled = \{.*\})')
MODULE = "example.org:easy_invite\terror\t"


async def test_until_the_line_from_the_log_is_added(make_server):
    server = make_server(modules=DEBIANS, run_daemon=False)
    [told] = [line for line in server.prosody.log.splitlines() if MODULE in line]
    [remedy] = REMEDY.findall(told)
    assert "traceback" not in server.prosody.log.lower()
    stream = await server.connect()
    with pytest.raises(StanzaError):
        await stream.registration_set("mallory", "mallory's password")

    server.prosody.hosts["example.org"] += f"    {remedy}\n"
    server.prosody.restart()
    server.daemon.start()
    alice = await server.login("alice")
    await new_invite(alice)
    assert server.prosody.log.count(MODULE) == 1
