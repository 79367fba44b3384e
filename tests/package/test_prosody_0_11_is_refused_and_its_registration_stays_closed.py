"""Prosody 0.11 is too old. The module says so in Prosody's log and to the operator's `check`, and
nobody registers there, with or without an invite, however registration is allowed."""

import pytest

from harness.prosody import TOO_OLD
from harness.server import Server
from harness.stories import eventually, generate, has_account
from harness.xmpp import StanzaError

pytestmark = pytest.mark.seconds(300)  # the first run makes a root of Debian 11

NEEDED = "it needs Prosody 0.12 or newer, not 0.11."
HOSTS = {
    "example.org": 'allow_registration = true modules_enabled = { "easy_invite" }',
    "ibr.example": 'allow_registration = true modules_enabled = { "register_ibr", "easy_invite" }',
    "late.example": 'allow_registration = true modules_enabled = { "easy_invite", "register_ibr" }',
}


async def test_nobody_registers_and_the_operator_is_told_why(tmp_path):
    with Server(TOO_OLD, tmp_path, hosts=HOSTS) as server:
        assert f"Not active: {NEEDED}" in server.prosody.log
        for host in HOSTS:
            for invite in (None, generate(server, host=host)):
                async with await server.connect(host) as stream:
                    if invite:
                        with pytest.raises(StanzaError):
                            await stream.preauth(invite.token)
                    with pytest.raises(StanzaError) as refused:
                        await stream.registration_set("mallory", "mallory's password")
                    assert "Registration is closed" in refused.value.text
            assert not await has_account(server, "mallory", domain=host)
        checked = server.daemon.cli("check")
        assert checked.returncode == 1
        for host in HOSTS:
            line = next(line for line in checked.stdout.splitlines() if line.startswith(f"hook {host}"))
            assert "FAILED" in line and f"mod_easy_invite is not active: {NEEDED}" in line
