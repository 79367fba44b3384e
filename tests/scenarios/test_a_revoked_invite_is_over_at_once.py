"""A revoked invite is over at once, even for a session that has presented the token."""

import pytest

from harness.server import password_of
from harness.stories import generate, has_account, register, revoke, show
from harness.xmpp import StanzaError


async def test_for_a_session_that_presents_it_later(server):
    invite = generate(server)
    revoke(server, invite)
    with pytest.raises(StanzaError, match="cancel/item-not-found: This invitation has been revoked"):
        await register(server, "late", invite)


@pytest.mark.parametrize("options", [[], ["--contact", "alice@example.org"], ["--uses", "unlimited"],
                                     ["--username", "olivia"], ["--expires", "never"]], ids=" ".join)
async def test_for_a_session_that_has_presented_it(server, options):
    invite = generate(server, *options)
    stream = await server.connect()
    await stream.preauth(invite.token)
    revoke(server, invite)
    with pytest.raises(StanzaError, match="modify/not-acceptable: This invitation has been revoked"):
        await stream.registration_set("olivia", password_of("olivia"))
    assert not await has_account(server, "olivia")
    assert show(server, invite)["state"] == "revoked"


async def test_for_a_session_that_has_presented_a_reset_link(server):
    invite = generate(server, "--reset", "bob")
    stream = await server.connect()
    await stream.preauth(invite.token)
    revoke(server, invite)
    with pytest.raises(StanzaError, match="modify/not-acceptable: This invitation has been revoked"):
        await stream.registration_set("bob", "a new password")
    assert await has_account(server, "bob")
