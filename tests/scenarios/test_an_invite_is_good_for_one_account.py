"""A single-use invite makes one account, however often it is tried."""

import pytest

from harness.server import password_of
from harness.stories import generate, has_account, register, show, used
from harness.xmpp import StanzaError


async def test_a_used_token_is_not_found(server):
    invite = generate(server)
    await register(server, "first", invite)
    await used(server, invite)
    with pytest.raises(StanzaError, match="cancel/item-not-found: This invitation has already been used"):
        await register(server, "second", invite)
    assert not await has_account(server, "second")
    assert show(server, invite)["state"] == "redeemed"


async def test_a_session_that_goes_on_after_the_refusal_is_uninvited(server):
    invite = generate(server)
    await register(server, "third", invite)
    await used(server, invite)
    stream = await server.connect()
    with pytest.raises(StanzaError):
        await stream.preauth(invite.token)
    with pytest.raises(StanzaError, match="Registration on this server is through invitation only"):
        await stream.registration_set("fourth", password_of("fourth"))
    assert not await has_account(server, "fourth")


async def test_a_session_that_presented_it_in_time_is_too_late(server):
    invite = generate(server)
    late = await server.connect()
    await late.preauth(invite.token)
    await register(server, "fifth", invite)
    with pytest.raises(StanzaError, match="modify/not-acceptable: This invitation has already been used"):
        await late.registration_set("sixth", password_of("sixth"))
    assert not await has_account(server, "sixth")
    await used(server, invite)
