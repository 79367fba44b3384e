"""Clients look for the commands on the server's own
address, and some accept only items with that address."""

import pytest

from harness.stories import CREATE_ACCOUNT, INVITE_WITH_OPTIONS, INVITES_OF, MY_INVITES, NEW_INVITE, PASSWORD_RESET
from harness.xmpp import ADHOC, DATA_FORM, DiscoItem, StanzaError

HOST, COMPONENT = "example.org", "invite.example.org"
OF_USERS = {NEW_INVITE: "New Invite", INVITE_WITH_OPTIONS: "Invite with Options", MY_INVITES: "My Invites"}
OF_ADMINS = {CREATE_ACCOUNT: "New Account Invite", PASSWORD_RESET: "Password Reset Link",
             INVITES_OF: "Somebody's Invites"}
NAMES = OF_USERS | OF_ADMINS
ADDRESSES = [HOST, COMPONENT]


def ours(items):
    return {node: item for node, item in items.items() if node in NAMES}


@pytest.mark.parametrize("address", ADDRESSES)
async def test_users_see_theirs(server, address):
    alice = await server.login("alice")
    assert ours(await alice.commands(address)) == {
        node: DiscoItem(address, node, name) for node, name in OF_USERS.items()}


@pytest.mark.parametrize("address", ADDRESSES)
async def test_admins_see_all(server, address):
    admin = await server.login("admin")
    assert ours(await admin.commands(address)) == {
        node: DiscoItem(address, node, name) for node, name in NAMES.items()}


async def test_prosodys_own_commands_stay_listed(server):
    admin = await server.login("admin")
    commands = await admin.commands(HOST)
    assert "http://jabber.org/protocol/admin#add-user" in commands
    assert {item.jid for item in commands.values()} == {HOST}
    assert len(await admin.disco_items(HOST, ADHOC)) == len(commands), "no command is listed twice"


async def test_the_host_announces_commands(server):
    alice = await server.login("alice")
    for address in ADDRESSES:
        assert ADHOC in (await alice.disco_info(address)).features
    assert COMPONENT in [item.jid for item in await alice.disco_items(HOST)]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_each_command_is_described(server, address):
    admin = await server.login("admin")
    for node, name in NAMES.items():
        info = await admin.disco_info(address, node)
        assert info.node == node
        assert [identity[:2] for identity in info.identities] == [("automation", "command-node")]
        assert info.identities[0][2] == name
        assert info.features >= {ADHOC, DATA_FORM}


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("node", OF_ADMINS)
async def test_admins_commands_are_forbidden_to_users(server, address, node):
    alice = await server.login("alice")
    with pytest.raises(StanzaError, match="auth/forbidden"):
        await alice.disco_info(address, node)
    with pytest.raises(StanzaError, match="auth/forbidden: You do not have permission to run this command"):
        await alice.execute(address, node)
    with pytest.raises(StanzaError, match="auth/forbidden"):
        await alice.execute(address, node, form={"accountjid": "bob@example.org"})
