"""The other scenarios depend on this:
each version of Prosody starts, and its users and a component log in."""

import pytest

from harness.prosody import COMPONENT_SECRET, Prosody
from harness.xmpp import AuthenticationError, Client, Component, DISCO_INFO


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def prosody(request, prosody_version, tmp_path_factory):
    """A Prosody without mod_easy_invite."""
    with Prosody(prosody_version, tmp_path_factory.mktemp("prosody"), hosts={"example.org": ""},
                 tls=request.param) as running:
        for username in ("alice", "bob"):
            running.adduser(f"{username}@example.org", f"{username}'s password")
        yield running


async def log_in(prosody, username):
    client = await Client.connect("127.0.0.1", prosody.c2s_port, "example.org", tls=prosody.tls)
    return await client.login(username, f"{username}'s password")


async def test_users_exchange_a_message(prosody):
    alice, bob = await log_in(prosody, "alice"), await log_in(prosody, "bob")
    alice.send_message("bob@example.org", "Hello & welcome")
    message = await bob.expect_stanza("message", sender="alice@example.org")
    assert message.findtext("{jabber:client}body") == "Hello & welcome"


async def test_a_component_logs_in_and_is_asked(prosody):
    component = await Component.connect("127.0.0.1", prosody.component_port, "invite.example.org", COMPONENT_SECRET)
    component.on_request = lambda request: component.reply(
        request, f"<query xmlns='{DISCO_INFO}'><feature var='urn:example'/></query>")
    alice = await log_in(prosody, "alice")
    assert (await alice.disco_info("invite.example.org")).features == {"urn:example"}


async def test_a_component_with_a_wrong_secret_is_refused(prosody):
    with pytest.raises(AuthenticationError, match="not-authorized"):
        await Component.connect("127.0.0.1", prosody.component_port, "invite.example.org", "another secret")
