"""Where another program has the accounts, "no such account" may also mean that they cannot be read.
The hook says that it is in doubt, looks again when it is asked again, and creates nothing
meanwhile."""

import pytest

from harness.daemon import REPOSITORY
from harness.gate import PlayedDaemon
from harness.stories import eventually, generate, register, show, uses_taken
from harness.xmpp import StanzaError

DOMAIN = "elsewhere.example"


@pytest.fixture
def server(make_server):
    return start(make_server, run_daemon=False)


def start(make_server, **options):
    return make_server(plugin_folders=[REPOSITORY / "tests" / "harness" / "prosody_modules"], hosts={DOMAIN: """
    authentication = "elsewhere"
    modules_enabled = { "easy_invite" }
    easy_invite_component = "invite.example.org"
"""}, **options)


def at_the_provider(server, code):
    server.prosody.shell(f'> local it = require "core.usermanager".get_provider("{DOMAIN}"); {code}')


def lose_answers(server, by):
    """The provider makes accounts, but its answer is lost, and it says that there is none for now. The
    method has an upvalue, as each that can make an account."""
    at_the_provider(server, "it.create_user = function () " + {
        "an-answer": 'return it == nil, "connection lost"', "an-error": 'error("connection lost")'}[by] + "; end")


LOST = pytest.mark.parametrize("by", ["an-answer", "an-error"])


@LOST
async def test_a_creation_whose_answer_is_lost(server, by):
    daemon = await PlayedDaemon.connect(server)
    lose_answers(server, by)
    assert await daemon.create("r1", "carol", "carol's password") == "in-flight"
    assert await daemon.settle("r1", "carol") == "not-made (doubtful)"
    at_the_provider(server, "it.accounts.carol = true")
    assert await daemon.settle("r1", "carol") == "made"


@LOST
async def test_the_same_in_band(make_server, by):
    server = start(make_server)
    invite = generate(server)
    lose_answers(server, by)
    with pytest.raises(StanzaError):
        await register(server, "carol", invite)
    assert uses_taken(server, invite) == 1
    at_the_provider(server, "it.accounts.carol = true")
    await eventually(lambda: show(server, invite)["uses"] == 1, "the open use is settled")
    with pytest.raises(StanzaError):
        await register(server, "dave", invite)


async def test_a_reservation(server):
    daemon = await PlayedDaemon.connect(server)
    for _ in range(2):
        assert await daemon.settle("r1", "carol") == "not-made (doubtful)"
    with pytest.raises(StanzaError, match="wait/resource-constraint: This registration was given up"):
        await daemon.create("r1", "carol", "carol's password")
    at_the_provider(server, "it.accounts.carol = true")
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
    at_the_provider(server, "it.accounts.alice = true")
    assert await daemon.settle("r1", "carol", contact=alice) == "made"
