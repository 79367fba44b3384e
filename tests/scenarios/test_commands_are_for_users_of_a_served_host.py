"""The commands refuse users of a VirtualHost of the same Prosody that the daemon does not serve."""

import pytest

from harness.prosody import INVITE_HOST
from harness.stories import CREATE_ACCOUNT, NEW_INVITE, PASSWORD_RESET, new_invite
from harness.xmpp import ADHOC, StanzaError

NODES = [NEW_INVITE, CREATE_ACCOUNT, PASSWORD_RESET]


@pytest.fixture
def server(make_server):
    """A server with a second, unserved VirtualHost, where
    an admin of the whole Prosody has an account."""
    made = make_server(hosts={"example.org": INVITE_HOST, "other.example": ""},
                       settings={"hosts": {"other.example": None}},
                       admins=["admin@example.org", "mallory@other.example"])
    made.prosody.adduser("mallory@other.example", "mallory's password")
    return made


@pytest.mark.parametrize("address", ["example.org", "invite.example.org"])
async def test_a_foreign_user_is_refused(server, address):
    mallory = await server.login("mallory", domain="other.example")
    assert not set(NODES) & set(await mallory.commands(address))
    for node in NODES:
        with pytest.raises(StanzaError, match="auth/forbidden|cancel/item-not-found"):
            await mallory.disco_info(address, node)
        with pytest.raises(StanzaError, match="auth/forbidden"):
            await mallory.execute(address, node)
        with pytest.raises(StanzaError, match="auth/forbidden"):
            await mallory.execute(address, node, action="complete", form={"accountjid": "alice@example.org"})
    invites = server.daemon.cli("--json", "list", "--state", "all")
    assert (invites.returncode, invites.stdout) == (0, "")


async def test_the_foreign_host_lists_no_commands(server):
    mallory = await server.login("mallory", domain="other.example")
    assert not set(NODES) & {item.node for item in await mallory.disco_items("other.example", ADHOC)}
    with pytest.raises(StanzaError):
        await mallory.execute("other.example", NEW_INVITE)


async def test_users_of_the_served_host_are_not_affected(server):
    alice = await server.login("alice")
    assert (await new_invite(alice, "invite.example.org")).uri.startswith("xmpp:alice@example.org?")
