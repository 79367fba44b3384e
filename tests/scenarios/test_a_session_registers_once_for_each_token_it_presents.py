"""A presented token registers one account.
Another try in the same session needs the token again."""

import pytest

from harness.server import password_of
from harness.stories import generate, has_account, show, used
from harness.xmpp import REGISTER, StanzaError


async def try_to_register(stream, username):
    """None, or the condition of the refusal."""
    try:
        await stream.registration_set(username, password_of(username))
    except StanzaError as refused:
        return refused.condition
    return None


@pytest.mark.parametrize("uses", ["1", "4", "unlimited"])
async def test_four_registrations_in_one_session_make_one_account(server, uses):
    invite = generate(server, "--uses", uses)
    names = [f"greedy-{number}-of-{uses}" for number in range(4)]
    stream = await server.connect()
    await stream.preauth(invite.token)
    assert [await try_to_register(stream, name) for name in names] == [None, *["not-acceptable"] * 3]
    assert [await has_account(server, name) for name in names] == [True, False, False, False]
    await used(server, invite)


@pytest.mark.parametrize("uses", ["1", "unlimited"])
async def test_registrations_in_one_write_make_one_account(server, uses):
    invite = generate(server, "--uses", uses)
    names = [f"hasty-{number}-of-{uses}" for number in range(4)]
    stream = await server.connect()
    await stream.preauth(invite.token)
    stream.send("".join(
        f"<iq type='set' id='{name}'><query xmlns='{REGISTER}'><username>{name}</username>"
        f"<password>{password_of(name)}</password></query></iq>" for name in names))
    answers = [(await stream.expect_stanza("iq", id=name)).get("type") for name in names]
    assert answers == ["result", "error", "error", "error"]
    assert [await has_account(server, name) for name in names] == [True, False, False, False]
    await used(server, invite)


async def test_token_and_registrations_in_one_write_make_one_account(server):
    invite = generate(server)
    names = [f"hastier-{number}" for number in range(3)]
    stream = await server.connect()
    stream.send(f"<iq type='set' id='token'><preauth xmlns='urn:xmpp:pars:0' token='{invite.token}'/></iq>" + "".join(
        f"<iq type='set' id='{name}'><query xmlns='{REGISTER}'><username>{name}</username>"
        f"<password>{password_of(name)}</password></query></iq>" for name in names))
    assert (await stream.expect_stanza("iq", id="token")).get("type") == "result"
    answers = [(await stream.expect_stanza("iq", id=name)).get("type") for name in names]
    assert answers == ["result", "error", "error"]
    assert [await has_account(server, name) for name in names] == [True, False, False]


async def test_a_token_that_is_presented_again_registers_again(server):
    invite = generate(server, "--uses", "2")
    stream = await server.connect()
    for number in range(2):
        await stream.preauth(invite.token)
        await stream.registration_set(f"twin-{number}", password_of(f"twin-{number}"))
    await used(server, invite, 2)
    with pytest.raises(StanzaError, match="cancel/item-not-found"):
        await stream.preauth(invite.token)


async def test_a_wrong_token_makes_the_session_forget_the_good_one(server):
    invite = generate(server)
    stream = await server.connect()
    await stream.preauth(invite.token)
    with pytest.raises(StanzaError, match="cancel/item-not-found"):
        await stream.preauth("A" * 24)
    assert await try_to_register(stream, "fickle") == "not-acceptable"
    assert show(server, invite)["uses"] == 0


async def test_a_presented_token_is_good_in_its_own_session_alone(server):
    invite = generate(server)
    async with await server.connect() as stream:
        await stream.preauth(invite.token)
    assert await try_to_register(await server.connect(), "stranger") == "not-acceptable"
    assert show(server, invite)["uses"] == 0
