"""A password reset link, from the command line or an
admin's client, sets its account's password once."""

import pytest

from harness.stories import generate, has_account, register, reset_link, show, used
from harness.xmpp import REGISTER, StanzaError


async def by_the_command_line(server, username):
    return generate(server, "--reset", username)


async def by_the_admins_command_on_the_host(server, username):
    return await reset_link(await server.login("admin"), f"{username}@example.org")


async def by_the_admins_command_on_the_component(server, username):
    return await reset_link(await server.login("admin"), username, "invite.example.org")


WAYS = [by_the_command_line, by_the_admins_command_on_the_host, by_the_admins_command_on_the_component]


@pytest.mark.parametrize("make_link", WAYS, ids=lambda way: way.__name__)
async def test_a_reset_link_sets_a_password_once(make_server, make_link):
    server = make_server()
    link = await make_link(server, "bob")
    assert link.uri == f"xmpp:bob@example.org?register;preauth={link.token}"
    async with await server.connect() as stream:
        await stream.preauth(link.token)
        await stream.registration_set("bob", "a new one")
        with pytest.raises(StanzaError, match="not-acceptable"):
            await stream.registration_set("bob", "a newer one")
    assert await has_account(server, "bob", password="a new one")
    assert not await has_account(server, "bob", password="a newer one")
    assert not await has_account(server, "bob")

    await used(server, link)
    with pytest.raises(StanzaError, match="cancel/item-not-found: This invitation has already been used"):
        await register(server, "bob", link)
    invite = show(server, link)
    assert (invite["type"], invite["username"], invite["uses"]) == ("password-reset", "bob", 1)


async def test_presenting_it_changes_nothing(make_server):
    server = make_server()
    link = generate(server, "--reset", "bob")
    stream = await server.connect()
    await stream.preauth(link.token)
    await stream.preauth(link.token, "example.org")
    await stream.registration_get()
    with pytest.raises(StanzaError):
        await stream.ask("set", f"<query xmlns='{REGISTER}'><username>bob</username></query>")
    assert await has_account(server, "bob")
    assert show(server, link)["uses"] == 0
    await stream.registration_set("bob", "a new one")
    assert await has_account(server, "bob", password="a new one")


async def test_two_sessions_with_one_link_set_one_password(make_server):
    server = make_server()
    link = generate(server, "--reset", "bob")
    first, second = await server.connect(), await server.connect()
    await first.preauth(link.token)
    await second.preauth(link.token)
    await first.registration_set("BOB", "the first one")
    with pytest.raises(StanzaError, match="This invitation has already been used"):
        await second.registration_set("bob", "the second one")
    assert await has_account(server, "bob", password="the first one")
