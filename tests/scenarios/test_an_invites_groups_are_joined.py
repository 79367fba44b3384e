"""`--group` puts the new account into Prosody's groups, if the module for groups is enabled. If
not, the account is still made, and the log says what is missing."""

from harness.prosody import INVITE_HOST
from harness.stories import generate, has_account, register


async def test_with_groups(make_server):
    with_groups = INVITE_HOST.replace("{ ", '{ "groups_internal", ')
    server = make_server(hosts={"example.org": with_groups})
    await register(server, "carol", generate(server, "--group", "family", "--group", "choir"))
    assert "Members of family: carol" in server.prosody.log
    assert "Members of choir: carol" in server.prosody.log


async def test_without_groups(server):
    await register(server, "carol", generate(server, "--group", "family"))
    assert await has_account(server, "carol")
    assert 'Could not add carol to the group "family": mod_groups_internal is not enabled' in server.prosody.log
