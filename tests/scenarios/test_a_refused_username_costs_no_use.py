"""A refused username uses nothing up.
Another username works on the same stream and on a new one."""

import pytest

from harness.server import password_of
from harness.stories import generate, has_account, register, show, used
from harness.xmpp import REGISTER, StanzaError

# nodeprep makes "bob" of each: other case, full width, an invisible hyphen.
SPELLINGS_OF_BOB = ["bob", "BOB", "ｂｏｂ", "b\u00adob"]
NO_NAMES = ["", " ", "two words", "carol@example.org", "carol/phone", "<carol>", "x" * 1024]


@pytest.mark.parametrize("spelling", SPELLINGS_OF_BOB, ids=ascii)
async def test_a_name_that_is_taken_in_any_spelling(server, spelling):
    invite = generate(server)
    stream = await server.connect()
    await stream.preauth(invite.token)
    with pytest.raises(StanzaError, match=r"^cancel/conflict: The requested username already exists\.$"):
        await stream.registration_set(spelling, "an intruder's password")
    assert await has_account(server, "bob")
    assert not await has_account(server, "bob", password="an intruder's password")
    assert show(server, invite)["uses"] == 0

    name = f"not-bob-{SPELLINGS_OF_BOB.index(spelling)}"
    await stream.registration_set(name, password_of(name))
    assert await has_account(server, name)
    await used(server, invite)


async def test_a_name_that_is_taken_and_another_on_a_new_stream(server):
    invite = generate(server)
    with pytest.raises(StanzaError, match="conflict"):
        await register(server, "alice", invite)
    await register(server, "alicia", invite)
    await used(server, invite)


@pytest.mark.parametrize("name", NO_NAMES, ids=lambda name: ascii(name[:20]))
async def test_a_name_that_is_none(server, name):
    invite = generate(server)
    stream = await server.connect()
    await stream.preauth(invite.token)
    with pytest.raises(StanzaError, match="modify/not-acceptable"):
        await stream.registration_set(name, "a good password")
    assert show(server, invite)["uses"] == 0
    good = f"good-{NO_NAMES.index(name)}"
    await stream.registration_set(good, password_of(good))


async def test_a_missing_password(server):
    invite = generate(server)
    stream = await server.connect()
    await stream.preauth(invite.token)
    with pytest.raises(StanzaError, match="not-acceptable"):
        await stream.ask("set", f"<query xmlns='{REGISTER}'><username>nopass</username></query>")
    assert show(server, invite)["uses"] == 0
    await stream.registration_set("nopass", password_of("nopass"))
    await used(server, invite)
