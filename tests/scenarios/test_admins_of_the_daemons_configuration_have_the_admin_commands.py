"""A user in the daemon's `admins` is an admin of
easy-invite, on both addresses, but not of Prosody."""

from harness.stories import CREATE_ACCOUNT, INVITE_WITH_OPTIONS, INVITES_OF, MY_INVITES, NEW_INVITE, PASSWORD_RESET

EVERYBODYS = {NEW_INVITE, INVITE_WITH_OPTIONS, MY_INVITES}
ADMINS = EVERYBODYS | {CREATE_ACCOUNT, PASSWORD_RESET, INVITES_OF}


async def test_the_lists_of_commands(make_server):
    server = make_server(settings={"hosts": {"example.org": {"admins": ["alice@example.org"]}}})
    alice, bob, admin = [await server.login(name) for name in ("alice", "bob", "admin")]
    for address in ("example.org", "invite.example.org"):
        assert await ours(alice, address) == ADMINS
        assert await ours(admin, address) == ADMINS  # an admin of Prosody
        assert await ours(bob, address) == EVERYBODYS
    assert (await alice.execute("example.org", CREATE_ACCOUNT)).get("status") == "executing"


async def ours(user, address):
    return {node for node in await user.commands(address) if node in ADMINS}
