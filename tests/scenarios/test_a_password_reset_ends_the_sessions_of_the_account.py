"""A password reset ends the open sessions of that account, and of no other."""

from harness.server import password_of
from harness.stories import generate, has_account
from harness.xmpp import PING


async def test_old_sessions_end_and_others_stay(make_server):
    server = make_server()
    phone, desktop = await server.login("bob"), await server.login("bob")
    alice = await server.login("alice")
    link = generate(server, "--reset", "bob")
    async with await server.connect() as stream:
        await stream.preauth(link.token)
        await stream.registration_set("bob", "a new one")

    await phone.expect_end()
    await desktop.expect_end()
    assert not await has_account(server, "bob", password=password_of("bob"))
    bob = await server.login("bob", "a new one")
    await bob.ask("get", f"<ping xmlns='{PING}'/>", "example.org")
    await alice.ask("get", f"<ping xmlns='{PING}'/>", "example.org")
