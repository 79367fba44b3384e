"""A crash leaves a use reserved, neither redeemed nor released. When the daemon is back, it asks
Prosody for its fate. If the account was made, the use is counted and the rest is made up for. If
not, the use is free again."""

import pytest

from harness.server import password_of
from harness.stories import CREATE_ACCOUNT, eventually, generate, leave_open, register, show, uses_taken
from harness.xmpp import StanzaError


@pytest.fixture
def crashed(make_server):
    """A server whose daemon is down."""
    server = make_server()
    server.daemon.kill()
    return server


async def test_the_account_was_made(crashed):
    invite = generate(crashed, "--contact", "alice@example.org", "--role", "prosody:admin")
    leave_open(crashed, invite, "carol@example.org")
    crashed.prosody.adduser("carol@example.org", password_of("carol"))
    alice = await crashed.login("alice")
    crashed.daemon.start()
    await eventually(lambda: show(crashed, invite)["state"] == "redeemed", "the use is counted")

    await alice.roster_push("carol@example.org", "both")
    carol = await crashed.login("carol")
    assert (await carol.roster())["alice@example.org"].subscription == "both"
    assert CREATE_ACCOUNT in await carol.commands("example.org")


async def test_no_account_was_made(crashed):
    invite = generate(crashed)
    leave_open(crashed, invite, "carol@example.org")
    crashed.daemon.start()
    await eventually(lambda: uses_taken(crashed, invite) == 0, "the use is free again")
    await register(crashed, "dave", invite)


async def test_a_hook_that_answers_late_is_asked_then(crashed):
    """Only the hook that reserved the use knows its fate,
    and its answer to the greeting says which hook it is."""
    invite = generate(crashed)
    leave_open(crashed, invite, "carol@example.org")
    crashed.prosody.shell('module:unload("easy_invite", "example.org")')
    crashed.daemon.start()
    await eventually(lambda: "the hook does not answer" in crashed.daemon.log, "the hook is away")
    crashed.prosody.shell('module:load("easy_invite", "example.org")')
    await eventually(lambda: uses_taken(crashed, invite) == 0, "the use is free again")
    assert crashed.daemon.logins == 1


async def test_a_contact_was_made(crashed):
    invite = generate(crashed, "--contact", "alice@example.org", "--contact-only")
    leave_open(crashed, invite, "bob@example.org", purpose="contact")
    alice = await crashed.login("alice")
    crashed.daemon.start()
    await eventually(lambda: show(crashed, invite)["state"] == "redeemed", "the use is counted")
    await alice.roster_push("bob@example.org", "both")


async def test_a_reset_that_may_have_been_made_cannot_be_repeated(crashed):
    invite = generate(crashed, "--reset", "bob")
    leave_open(crashed, invite, "bob@example.org", purpose="reset")
    crashed.daemon.start()
    await eventually(lambda: show(crashed, invite)["state"] == "redeemed", "the use is counted")
    with pytest.raises(StanzaError, match="item-not-found"):
        await register(crashed, "bob", invite)
