"""When an account is deleted, by its user or by the operator, its pending invites and password
reset links end. Everybody else's stay. A daemon that was away at that moment learns of it when it
is back."""

import pytest

from harness.stories import eventually, generate, has_account, new_invite, register, show
from harness.web import Visitor, web_settings
from harness.xmpp import REGISTER, StanzaError


async def by_the_user(server):
    async with await server.login("bob") as bob:
        bob.send(f"<iq type='set' id='remove'><query xmlns='{REGISTER}'><remove/></query></iq>")
        await bob.expect_end()


async def by_the_console(server):
    server.prosody.deluser("bob@example.org")


WAYS = pytest.mark.parametrize("delete", [by_the_user, by_the_console])


@WAYS
async def test_while_the_daemon_runs(make_server, delete):
    server = make_server()
    ending, staying = await invites_of_bob_and_others(server)
    await delete(server)
    assert not await has_account(server, "bob")
    await assert_ended(server, ending, staying)


@WAYS
async def test_while_the_daemon_is_away(make_server, delete):
    server = make_server()
    ending, staying = await invites_of_bob_and_others(server)
    server.daemon.stop()
    await delete(server)
    server.daemon.start()
    await assert_ended(server, ending, staying)


async def test_while_the_daemon_is_away_and_prosody_restarts(make_server):
    server = make_server()
    ending, staying = await invites_of_bob_and_others(server)
    server.daemon.stop()
    await by_the_console(server)
    server.prosody.restart()
    server.daemon.start()
    await assert_ended(server, ending, staying)


async def test_behind_the_servers_back(make_server):
    """`prosodyctl deluser` of Prosody 0.12 only writes to the disk. The daemon asks whether bob is
    there when somebody uses his invites, and refuses them from then on."""
    server = make_server()
    ending, staying = await invites_of_bob_and_others(server)
    await (await server.connect()).preauth(ending[0].token)  # the daemon looks for bob
    code, output, errors = server.prosody.prosodyctl("deluser", "bob@example.org")
    assert code == 0, output + errors
    await assert_of_no_use(server, ending)
    assert [show(server, invite)["state"] for invite in staying] == ["pending"] * len(staying)


async def test_behind_the_servers_back_in_a_browser(make_server):
    """One look that does not find bob refuses the invite, and ends nothing for good: the server may
    have been unable to read its accounts."""
    server = make_server(settings=web_settings())
    for arguments, status in ((("--contact", "bob@example.org"), 410), (("--reset", "bob"), 410)):
        invite, visitor = generate(server, *arguments), Visitor(server)
        page = "reset" if "--reset" in arguments else "register"
        form = await visitor.filled_in(invite, None if page == "reset" else "carol", "kites and lamps", page=page)
        account = server.prosody.data_folder / "example%2eorg/accounts/bob.dat"
        hidden = account.rename(account.with_suffix(".hidden"))
        assert (await visitor.post(visitor.path(invite, page), form)).status == status
        assert show(server, invite)["state"] == "pending"
        hidden.rename(account)
        assert (await visitor.post(visitor.path(invite, page), form)).status == 200
    assert await has_account(server, "carol", password="kites and lamps")
    assert await has_account(server, "bob", password="kites and lamps")


async def test_a_new_account_of_that_name_keeps_its_invites(make_server):
    server = make_server()
    await by_the_console(server)
    await register(server, "bob", generate(server))
    invite = await new_invite(await server.login("bob"))
    server.daemon.restart()  # the hook reports the deletion again
    await register(server, "carol", invite)


async def invites_of_bob_and_others(server):
    bob, alice = await server.login("bob"), await server.login("alice")
    ending = [await new_invite(bob), generate(server, "--reset", "bob"),
              generate(server, "--contact", "bob@example.org", "--uses", "5")]
    await bob.close()
    return ending, [await new_invite(alice), generate(server), generate(server, "--reset", "alice")]


async def assert_ended(server, ending, staying):
    for invite in ending:
        await eventually(lambda: show(server, invite)["state"] == "revoked", "the invite has ended")
    await assert_of_no_use(server, ending)
    assert [show(server, invite)["state"] for invite in staying] == ["pending"] * len(staying)


async def assert_of_no_use(server, invites):
    for invite, username in zip(invites, ("carol", "bob", "carol")):
        with pytest.raises(StanzaError):
            await register(server, username, invite)
