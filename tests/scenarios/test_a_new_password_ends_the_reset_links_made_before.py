"""When an account gets a new password, by a reset link or by other means, its older reset links end.
Those of other accounts stay, and so does a link that is made afterwards. A registration, or a reset
itself, is no change by other means."""

import pytest

from harness.server import password_of
from harness.stories import eventually, generate, has_account, register, reset_link, show, used
from harness.web import Visitor, web_settings
from harness.xmpp import REGISTER, StanzaError

REVOKED = "This invitation has been revoked"


async def by_a_client_with_a_link(server, link):
    await register(server, "bob", link, password="a new one")
    return "a new one"


async def in_a_browser_with_a_link(server, link):
    assert (await Visitor(server).reset(link, "kites and lamps")).status == 200
    return "kites and lamps"


@pytest.mark.parametrize("reset", [by_a_client_with_a_link, in_a_browser_with_a_link])
async def test_using_one_ends_the_others(make_server, reset):
    server = make_server(settings=web_settings())
    admin = await server.login("admin")
    first, second, third = generate(server, "--reset", "bob"), await reset_link(admin, "bob"), generate(
        server, "--reset", "bob", "--expires", "never")
    alices = generate(server, "--reset", "alice")
    presented = await server.connect()
    await presented.preauth(third.token)
    password = await reset(server, second)
    await used(server, second)
    assert show(server, second)["revoked_at"] is None
    assert [show(server, link)["state"] for link in (first, third, alices)] == ["revoked", "revoked", "pending"]
    with pytest.raises(StanzaError, match=REVOKED):
        await register(server, "bob", first, password="a thief's")
    with pytest.raises(StanzaError, match=REVOKED):
        await presented.registration_set("bob", "a thief's")
    visitor = Visitor(server)
    assert (await visitor.get(visitor.path(first, "reset"))).status == 410
    assert await has_account(server, "bob", password=password)

    later = generate(server, "--reset", "bob")
    await register(server, "bob", later, password="the newest one")
    await register(server, "alice", alices, password="one of hers")
    assert "password changed" not in server.daemon.log


async def by_the_users_client(server):
    async with await server.login("bob") as bob:
        asked = f"<query xmlns='{REGISTER}'><username>bob</username><password>a new one</password></query>"
        await bob.ask("set", asked, "example.org")


async def by_the_console(server):
    server.prosody.shell('user:password("bob@example.org", "a new one")')


WAYS = pytest.mark.parametrize("change", [by_the_users_client, by_the_console])


@WAYS
async def test_a_change_by_other_means_ends_them_all(make_server, change):
    server = make_server()
    links = [generate(server, "--reset", "bob"), await reset_link(await server.login("admin"), "bob")]
    staying = [generate(server, "--reset", "alice"), generate(server, "--contact", "bob@example.org")]
    await change(server)
    await assert_ended(server, links)
    assert [show(server, invite)["state"] for invite in staying] == ["pending", "pending"]
    await register(server, "bob", generate(server, "--reset", "bob"), password="the newest one")
    assert await has_account(server, "bob", password="the newest one")


@WAYS
async def test_a_daemon_that_was_away_learns_of_it(make_server, change):
    server = make_server()
    link = generate(server, "--reset", "bob")
    server.daemon.stop()
    await change(server)
    server.prosody.restart()
    server.daemon.start()
    await assert_ended(server, [link])


async def test_a_registration_is_no_change(make_server):
    server = make_server()
    await register(server, "carol", generate(server))
    link = generate(server, "--reset", "carol")
    assert await has_account(server, "carol", password=password_of("carol"))
    await register(server, "carol", link, password="a new one")
    assert "password changed" not in server.daemon.log


async def assert_ended(server, links):
    for link in links:
        await eventually(lambda: show(server, link)["state"] == "revoked", "the link has ended")
        with pytest.raises(StanzaError, match=REVOKED):
            await register(server, "bob", link, password="a thief's")
    assert await has_account(server, "bob", password="a new one")


async def test_a_link_that_had_expired_before_gets_no_more_time(make_server):
    server = make_server()
    link = generate(server, "--reset", "bob", "--expires", "1s")
    await eventually(lambda: show(server, link)["state"] == "expired", "its second is over")
    await by_the_users_client(server)
    await eventually(lambda: show(server, link)["state"] == "revoked", "the link has ended")
    assert REVOKED in server.daemon.cli("edit", link.uri, "--expires", "7d").stderr
    with pytest.raises(StanzaError, match=REVOKED):
        await register(server, "bob", link, password="a thief's")
