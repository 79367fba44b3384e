"""An account is deleted and made again, and the daemon does not hear of it. The old account's
invites, and the reset links for it, do not work for the new account, neither in a client nor in a
browser. What the new account makes, and what belongs to others, works."""

import asyncio

import pytest

from harness.stories import (eventually, generate, has_account, leave_open, new_account_invite, new_invite, register,
                             reset_link, show, used, uses_taken)
from harness.web import Visitor, web_settings
from harness.xmpp import StanzaError, bare

REVOKED = "This invitation has been revoked"
OPEN = {"hosts": {"example.org": {"registration_invite_only": False}}}


async def beside_the_server(server, username):
    server.prosody.unregister(f"{username}@example.org")
    server.prosody.adduser(f"{username}@example.org", "of the new owner")


async def while_prosody_is_stopped(server, username):
    server.prosody.stop()
    await beside_the_server(server, username)
    server.prosody.start()
    await eventually(lambda: server.daemon.logins == 2, "the daemon is connected again")


async def by_somebody_who_registers_without_an_invite(server, username):
    server.prosody.unregister(f"{username}@example.org")
    await register(server, username, password="of the new owner")


WAYS = [beside_the_server, while_prosody_is_stopped, by_somebody_who_registers_without_an_invite]


@pytest.mark.parametrize("way", WAYS)
async def test_users_invites_and_reset_links(make_server, way):
    server = make_server(settings={**web_settings(), **OPEN})
    bob, alice, admin = [await server.login(username) for username in ("bob", "alice", "admin")]
    invites = [await new_invite(bob), await new_invite(bob, server.component),
               generate(server, "--contact", "bob@example.org", "--uses", "5"),
               generate(server, "--contact", "bob@example.org", "--contact-only")]
    resets = [generate(server, "--reset", "bob"), await reset_link(admin, "bob")]
    of_others = [await new_invite(alice), generate(server, "--reset", "alice")]
    presented = [await presented_on(server, invite) for invite in (invites[0], resets[0])]
    for user in (bob, alice, admin):
        await user.close()
    await way(server, "bob")

    await assert_of_no_use(server, invites[:3], "carol")
    await assert_of_no_use(server, resets, "bob")
    for stream, username in zip(presented, ("carol", "bob")):
        if way != while_prosody_is_stopped:
            with pytest.raises(StanzaError, match=REVOKED):
                await stream.registration_set(username, "a thief's")
    new_bob = await server.login("bob", "of the new owner")
    for username, invite in (("alice", invites[0]), ("admin", invites[3])):
        stranger = await server.login(username)
        stranger.subscribe("bob@example.org", invite.token)
        await new_bob.presence_from(bare(stranger.jid), "subscribe")  # the new bob is asked
    assert await new_bob.roster() == {}

    await register(server, "carol", await new_invite(new_bob))
    await new_bob.roster_push("carol@example.org", "both")
    for invite, username in ((generate(server, "--reset", "bob"), "bob"), (of_others[1], "alice"),
                             (of_others[0], "dave")):
        await register(server, username, invite, password="a new one")
        assert await has_account(server, username, password="a new one")


async def test_an_admins_invites_that_make_no_contacts(make_server):
    server = make_server(settings=web_settings())
    invites = [await new_account_invite(await server.login("admin"), {"uses": "unlimited"}),
               await new_account_invite(await server.login("admin"), {"username": "carol"})]
    link = await reset_link(await server.login("admin"), "bob")
    await beside_the_server(server, "admin")
    await assert_of_no_use(server, invites, "carol")
    await assert_of_no_use(server, [link], "bob")


async def test_accounts_that_are_in_no_files(make_server):
    server = make_server(settings=web_settings(), storage="sql")
    invites = [await new_invite(await server.login("bob")), generate(server, "--contact", "bob@example.org")]
    link = generate(server, "--reset", "bob")
    await asyncio.sleep(1.1)  # the first looks at the two accounts must not be in the same second
    await beside_the_server(server, "bob")
    await assert_of_no_use(server, invites, "carol")
    await assert_of_no_use(server, [link], "bob")
    await register(server, "carol", await new_invite(await server.login("bob", "of the new owner")))
    await register(server, "bob", generate(server, "--reset", "bob"))


async def test_links_that_were_made_while_nobody_could_be_asked(make_server):
    """The operator made them before anybody looked at the accounts. They are good, as long as the
    accounts are the same."""
    server = make_server(run_daemon=False, settings=web_settings())
    server.prosody.stop()
    links = {username: generate(server, "--reset", username) for username in ("alice", "bob")}
    invites = {username: generate(server, "--contact", f"{username}@example.org") for username in ("alice", "bob")}
    await asyncio.sleep(1.1)  # what is made in the same second may be the account's
    await beside_the_server(server, "bob")
    server.prosody.start()
    server.daemon.start()
    await eventually(lambda: "the hook is there" in server.daemon.log, "the daemon is connected")
    await assert_of_no_use(server, [invites["bob"]], "carol")
    await assert_of_no_use(server, [links["bob"]], "bob")
    await register(server, "carol", invites["alice"])
    await register(server, "alice", links["alice"], password="a new one")
    assert await has_account(server, "alice", password="a new one")


async def test_what_was_open_when_the_inviter_was_replaced(make_server):
    """carol has registered with the old bob's invite, and alice has asked to be his contact. When the
    daemon finds out what became of that, there is a new bob."""
    server = make_server()
    bob = await server.login("bob")
    invites = [await new_invite(bob), await new_invite(bob)]
    await bob.close()
    server.daemon.stop()
    server.prosody.adduser("carol@example.org", "carol's password")
    leave_open(server, invites[0], "carol@example.org")
    leave_open(server, invites[1], "alice@example.org", purpose="contact", reservation="a-contact")
    await beside_the_server(server, "bob")
    server.daemon.start()
    await used(server, invites[0])
    await eventually(lambda: not in_use(server, invites[1]), "alice's request is settled")
    for username, password in (("bob", "of the new owner"), ("carol", None), ("alice", None)):
        assert await (await server.login(username, password)).roster() == {}, username


def in_use(server, invite):
    return uses_taken(server, invite) != show(server, invite)["uses"]


async def presented_on(server, invite):
    stream = await server.connect()
    await stream.preauth(invite.token)
    return stream


async def assert_of_no_use(server, invites, username):
    for invite in invites:
        with pytest.raises(StanzaError, match=REVOKED):
            await presented_on(server, invite)
        visitor = Visitor(server)
        assert (await visitor.get(visitor.path(invite))).status == 410
        assert (await visitor.get(visitor.path(invite, "register"))).status == 410
    assert not await has_account(server, username, password="a thief's")
