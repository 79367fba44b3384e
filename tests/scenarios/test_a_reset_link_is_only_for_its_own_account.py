"""A password reset link affects no other account, and creates none."""

import pytest

from harness.stories import generate, has_account, new_account_invite, register, reset_link
from harness.xmpp import StanzaError

WRONG_NAME = "^modify/not-acceptable: Incorrect username for password reset$"


async def test_it_does_nothing_to_others(make_server):
    server = make_server()
    link = generate(server, "--reset", "bob")
    stream = await server.connect()
    await stream.preauth(link.token)
    with pytest.raises(StanzaError, match=WRONG_NAME):
        await stream.registration_set("alice", "taken over")
    with pytest.raises(StanzaError, match=WRONG_NAME):
        await stream.registration_set("ghost", "made up just now")
    assert await has_account(server, "alice")
    assert not await has_account(server, "ghost", password="made up just now")
    await stream.registration_set("bob", "a new one")


async def test_it_does_not_bring_a_deleted_account_back(make_server):
    server = make_server()
    link = generate(server, "--reset", "bob")
    stream = await server.connect()
    await stream.preauth(link.token)
    server.prosody.deluser("bob@example.org")
    with pytest.raises(StanzaError, match="modify/not-acceptable"):
        await stream.registration_set("bob", "back again")
    assert not await has_account(server, "bob", password="back again")


async def test_it_is_not_for_a_new_account_of_the_same_name(make_server):
    server = make_server()
    link = generate(server, "--reset", "bob")
    stream = await server.connect()
    await stream.preauth(link.token)
    server.prosody.deluser("bob@example.org")
    await register(server, "bob", generate(server))
    with pytest.raises(StanzaError):
        await stream.registration_set("bob", "taken over")
    with pytest.raises(StanzaError):
        await register(server, "bob", link)
    assert await has_account(server, "bob")


async def test_an_invite_for_an_account_resets_no_password(make_server):
    server = make_server()
    for invite in (generate(server), await new_account_invite(await server.login("admin"), {})):
        with pytest.raises(StanzaError, match="cancel/conflict"):
            await register(server, "bob", invite)
    assert await has_account(server, "bob")


async def test_there_is_no_link_for_an_account_that_does_not_exist(make_server):
    server = make_server()
    refused = server.daemon.cli("generate", "example.org", "--reset", "ghost")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "ghost@example.org has no account here" in refused.stderr
    admin = await server.login("admin")
    with pytest.raises(AssertionError, match="ghost@example.org has no account here"):
        await reset_link(admin, "ghost@example.org")
    with pytest.raises(AssertionError, match="alice@example.com has no account here"):
        await reset_link(admin, "alice@example.com")
