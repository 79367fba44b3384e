"""A username that an invite reserves is refused to everybody else, in any spelling, until the
invite ends. The invite itself registers that username and no other."""

import pytest

from harness.server import password_of
from harness.stories import eventually, generate, has_account, new_account_invite, register, revoke, show, used
from harness.xmpp import StanzaError

SPELLINGS = ["carol", "CAROL", "ｃａｒｏｌ", "ca\u00adrol"]


@pytest.fixture
def reserved(make_server):
    """A server whose operator has reserved "carol" (typed as "Carol"), and the invite."""
    server = make_server()
    invite = generate(server, "--username", "Carol")
    assert invite.uri == f"xmpp:carol@example.org?register;preauth={invite.token}"
    return server, invite


@pytest.mark.parametrize("spelling", SPELLINGS, ids=ascii)
async def test_no_other_invite_takes_it(reserved, spelling):
    server, _ = reserved
    other = generate(server)
    stream = await server.connect()
    await stream.preauth(other.token)
    with pytest.raises(StanzaError, match="cancel/conflict"):
        await stream.registration_set(spelling, password_of("carol"))
    assert not await has_account(server, "carol")
    assert show(server, other)["uses"] == 0
    await stream.registration_set("carola", password_of("carola"))


@pytest.mark.parametrize("spelling", SPELLINGS, ids=ascii)
async def test_its_own_invite_takes_it(reserved, spelling):
    server, invite = reserved
    stream = await server.connect()
    await stream.preauth(invite.token)
    await stream.registration_set(spelling, password_of("carol"))
    assert await has_account(server, "carol")
    await used(server, invite)


async def test_its_own_invite_takes_no_other_name(reserved):
    server, invite = reserved
    stream = await server.connect()
    await stream.preauth(invite.token)
    for name in ("mallory", "carol2", "alice"):
        with pytest.raises(StanzaError, match=(
                "^modify/not-acceptable: The chosen username is not valid with this invitation$")):
            await stream.registration_set(name, password_of(name))
    assert not await has_account(server, "mallory")
    await stream.registration_set("carol", password_of("carol"))
    assert await has_account(server, "carol")


async def test_it_is_free_when_its_invite_is_revoked(reserved):
    server, invite = reserved
    other = generate(server)
    stream = await server.connect()
    await stream.preauth(other.token)
    with pytest.raises(StanzaError, match="conflict"):
        await stream.registration_set("carol", password_of("carol"))
    revoke(server, invite)
    await stream.registration_set("carol", password_of("carol"))
    assert await has_account(server, "carol")


@pytest.mark.one_setup
async def test_it_is_free_when_its_invite_has_expired(make_server):
    server = make_server()
    invite = generate(server, "--username", "carol", "--expires", "1s")
    await eventually(lambda: show(server, invite)["state"] == "expired", "the invite has expired")
    await register(server, "carol", generate(server))
    assert await has_account(server, "carol")


async def test_it_is_reserved_where_registration_is_open(make_server):
    server = make_server(settings={"hosts": {"example.org": {"registration_invite_only": False}}})
    invite = generate(server, "--username", "carol")
    for spelling in SPELLINGS:
        with pytest.raises(StanzaError, match="cancel/conflict"):
            await register(server, spelling)
    await register(server, "dave")
    await register(server, "carol", invite)
    assert await has_account(server, "carol")


@pytest.mark.one_setup
async def test_two_invites_do_not_reserve_the_same_username(reserved):
    server, _ = reserved
    refused = server.daemon.cli("generate", "example.org", "--username", "CAROL")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "The requested username is reserved for another invitation" in refused.stderr
    refused = server.daemon.cli("generate", "example.org", "--username", "Bob")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "The requested username already exists." in refused.stderr


@pytest.mark.one_setup
@pytest.mark.parametrize("name", ["two words", "a/b", "\u0221x", "\U00020000\u0234"], ids=ascii)
async def test_a_name_that_prosody_refuses_is_not_reserved(reserved, name):
    server, _ = reserved
    refused = server.daemon.cli("generate", "example.org", "--username", name)
    assert (refused.returncode, refused.stdout) == (1, ""), "the link would never work"
    assert "is not a valid username" in refused.stderr


async def test_a_name_is_reserved_as_the_server_folds_it(reserved):
    server, _ = reserved
    invite = generate(server, "--username", "\u1d2clison")
    assert show(server, invite)["username"] == "alison"
    with pytest.raises(StanzaError, match="conflict"):
        await register(server, "alison", generate(server))
    await register(server, "Alison", invite)


@pytest.mark.one_setup
async def test_an_admin_reserves_by_the_form(make_server):
    server = make_server()
    invite = await new_account_invite(await server.login("admin"), {"username": "Carol"})
    with pytest.raises(StanzaError, match="conflict"):
        await register(server, "carol", generate(server))
    await register(server, "carol", invite)
    assert show(server, invite)["username"] == "carol"
