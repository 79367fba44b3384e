"""After login, registration is about one's own account.
A token creates no other, and Prosody's own functions remain."""

import pytest

from harness.server import password_of
from harness.stories import generate, has_account, register, show
from harness.xmpp import REGISTER, StanzaError


async def test_a_token_presented_after_login(server):
    invite = generate(server)
    alice = await server.login("alice")
    for to in (None, "example.org"):
        with pytest.raises(StanzaError, match="service-unavailable"):
            await alice.preauth(invite.token, to)
        with pytest.raises(StanzaError):
            await alice.registration_set("mallory", password_of("mallory"), to)
    assert not await has_account(server, "mallory")
    assert await has_account(server, "alice")
    assert show(server, invite)["uses"] == 0


async def test_a_token_presented_before_login(server):
    invite = generate(server)
    stream = await server.connect()
    await stream.preauth(invite.token)
    await stream.login("alice", password_of("alice"))
    with pytest.raises(StanzaError):
        await stream.registration_set("mallory", password_of("mallory"))
    assert not await has_account(server, "mallory")
    assert show(server, invite)["uses"] == 0


async def test_users_still_change_their_passwords(server):
    await register(server, "peggy", generate(server))
    peggy = await server.login("peggy")
    await peggy.registration_set("peggy", "a better password")
    assert await has_account(server, "peggy", password="a better password")


async def test_users_still_delete_their_accounts(server):
    await register(server, "victor", generate(server))
    victor = await server.login("victor")
    await victor.ask("set", f"<query xmlns='{REGISTER}'><remove/></query>")
    assert not await has_account(server, "victor")
