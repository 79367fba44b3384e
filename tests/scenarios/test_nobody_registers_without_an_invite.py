"""Registration is closed without an invite, and with a token that is not one."""

import pytest

from harness.server import password_of
from harness.stories import generate, has_account, register
from harness.xmpp import StanzaError, StreamClosed

INVITATION_ONLY = r"^modify/not-acceptable: Registration on this server is through invitation only\. "


@pytest.mark.parametrize("as_form", [False, True], ids=["fields", "form"])
@pytest.mark.parametrize("to", [None, "example.org"])
async def test_the_uninvited_are_told_why(server, as_form, to):
    stream = await server.connect()
    with pytest.raises(StanzaError, match=INVITATION_ONLY):
        await stream.registration_set("mallory", password_of("mallory"), to, as_form=as_form)
    assert not await has_account(server, "mallory")


async def test_the_uninvited_do_not_learn_which_usernames_exist(server):
    stream = await server.connect()
    with pytest.raises(StanzaError, match=INVITATION_ONLY):
        await stream.registration_set("bob", password_of("mallory"))
    assert await has_account(server, "bob")


@pytest.mark.parametrize("token", ["", "short", "A" * 24, "A" * 5_000, "ä" * 24, "' OR 1=1 --"],
                         ids=["empty", "short", "unknown", "long", "not-ascii", "sql"])
async def test_a_token_of_no_invite_is_not_found(server, token):
    stream = await server.connect()
    with pytest.raises(StanzaError, match="cancel/item-not-found"):
        await stream.preauth(token)
    with pytest.raises(StanzaError, match=INVITATION_ONLY):
        await stream.registration_set("mallory", password_of("mallory"))
    assert not await has_account(server, "mallory")


async def test_an_endless_token_harms_nobody(server):
    stream = await server.connect()
    with pytest.raises(StreamClosed, match="policy-violation"):
        await stream.preauth("A" * 20_000)
    await register(server, "carol", generate(server))


async def test_a_token_that_is_missing_is_not_found(server):
    stream = await server.connect()
    with pytest.raises(StanzaError, match="cancel/item-not-found"):
        await stream.ask("set", "<preauth xmlns='urn:xmpp:pars:0'/>")
