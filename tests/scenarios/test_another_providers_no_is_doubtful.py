"""Where the accounts are not Prosody's own, "no such account" may as well mean that they cannot be
read. The hook says that it is in doubt, looks again when it is asked again, and creates nothing
meanwhile."""

import pytest

from harness.daemon import REPOSITORY
from harness.gate import PlayedDaemon
from harness.xmpp import StanzaError

DOMAIN = "elsewhere.example"


@pytest.fixture
def server(make_server):
    return make_server(run_daemon=False, plugin_folders=[REPOSITORY / "tests" / "harness" / "prosody_modules"], hosts={
        DOMAIN: """
    authentication = "elsewhere"
    modules_enabled = { "easy_invite" }
    easy_invite_component = "invite.example.org"
"""})


async def test_a_reservation(server):
    daemon = await PlayedDaemon.connect(server)
    for _ in range(2):
        assert await daemon.settle("r1", "carol") == "not-made (doubtful)"
    with pytest.raises(StanzaError, match="wait/resource-constraint: This registration was given up"):
        await daemon.create("r1", "carol", "carol's password")
    server.prosody.shell(f'> require "core.usermanager".get_provider("{DOMAIN}").accounts.carol = true')
    assert await daemon.settle("r1", "carol") == "made"


async def test_a_contact(server):
    daemon = await PlayedDaemon.connect(server)
    assert await daemon.settle("r1", "carol", purpose="contact", contact="dave@example.net") == "not-made (doubtful)"


async def test_a_registration(server):
    daemon = await PlayedDaemon.connect(server)
    assert await daemon.create("r1", "carol", "carol's password") == "made"
    assert await daemon.account_exists("carol")


async def test_an_account(server):
    daemon = await PlayedDaemon.connect(server)
    answer = await daemon.account("nobody")
    assert (answer.get("exists"), answer.get("doubtful")) == ("false", "true")


async def test_an_inviter(server):
    daemon, alice = await PlayedDaemon.connect(server), f"alice@{DOMAIN}"
    assert await daemon.create("r1", "carol", "carol's password", contact=alice) == "unfinished"
    server.prosody.shell(f'> require "core.usermanager".get_provider("{DOMAIN}").accounts.alice = true')
    assert await daemon.settle("r1", "carol", contact=alice) == "made"
