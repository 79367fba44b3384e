"""The inviter's rights are checked again when an invite is used. The invites of somebody who is no
longer an admin do only what a user's invites do. If they become an admin again, so do their
invites' grants."""

import pytest

from harness.stories import (generate, has_account, in_store, new_account_invite, new_invite, register, reset_link,
                             show, used)
from harness.web import Visitor, web_settings
from harness.xmpp import StanzaError

STOPPED = "The person who created this invitation is not allowed to create such invitations at present"


def promote(server, username="alice"):
    if server.prosody.version == "13":
        server.prosody.shell(f'user:set_role("{username}@example.org", "prosody:admin")')
    else:
        server.prosody.shell(f'user:setroles("{username}@example.org", {{ "prosody:admin" }})')


def demote(server, username="alice"):
    if server.prosody.version == "13":
        server.prosody.shell(f'user:set_role("{username}@example.org", "prosody:registered")')
    else:
        server.prosody.shell(f'user:setroles("{username}@example.org", {{}})')


async def with_grants(alice, server):
    """As an invite has them that an admin makes with a profile."""
    invite = await new_account_invite(alice, {"roster-subscription": "1"})
    in_store(server, "UPDATE invite SET roles = ? WHERE id = ?", '["prosody:admin"]', show(server, invite)["id"])
    return invite


WHAT_USERS_LACK = {
    "a username": lambda alice, _: new_account_invite(alice, {"username": "guest", "roster-subscription": "1"}),
    "several uses": lambda alice, _: new_account_invite(alice, {"uses": "2", "roster-subscription": "1"}),
    "a longer life": lambda alice, _: new_account_invite(alice, {"expires": "4w", "roster-subscription": "1"}),
    "no contact": lambda alice, _: new_account_invite(alice, {"roster-subscription": "0"}),
    "a role": with_grants,
}


@pytest.mark.parametrize("what", WHAT_USERS_LACK)
async def test_what_users_cannot_give_is_not_given(make_server, what):
    server = make_server(settings=web_settings())
    promote(server)
    async with await server.login("alice") as alice:
        invite = await WHAT_USERS_LACK[what](alice, server)
    presented, visitor = await server.connect(), Visitor(server)
    await presented.preauth(invite.token)
    form = await visitor.filled_in(invite, "guest", "kites and lamps")
    demote(server)
    with pytest.raises(StanzaError, match=f"cancel/item-not-found: {STOPPED}"):
        await register(server, "guest", invite)
    with pytest.raises(StanzaError, match=f"modify/not-acceptable: {STOPPED}"):
        await presented.registration_set("guest", "a good password")
    refused = await visitor.post(visitor.path(invite, "register"), form)
    assert (refused.status, STOPPED in refused.text) == (422, True)
    bob = await server.login("bob")
    bob.subscribe("alice@example.org", invite.token)
    await bob.roster_push("alice@example.org", "none")
    assert show(server, invite)["state"] == "pending"
    promote(server)
    await presented.registration_set("guest", "a good password")
    assert await has_account(server, "guest", password="a good password")


async def test_an_ordinary_invite_goes_on_as_a_users(make_server):
    server = make_server()
    promote(server)
    async with await server.login("alice") as alice:
        invite = await new_account_invite(alice, {"roster-subscription": "1"})
    demote(server)
    await register(server, "guest", invite)
    async with await server.login("guest") as guest:
        assert (await guest.roster())["alice@example.org"].subscription == "both"


async def test_where_users_may_not_register_it_makes_a_contact(make_server):
    server = make_server(settings={"hosts": {"example.org": {"allow_user_invites": False}}})
    promote(server)
    async with await server.login("alice") as alice:
        invite = await new_invite(alice)
    demote(server)
    with pytest.raises(StanzaError, match="This invitation is for adding a contact, not for creating an account"):
        await register(server, "guest", invite)
    bob = await server.login("bob")
    bob.subscribe("alice@example.org", invite.token)
    await bob.roster_push("alice@example.org", "both")


@pytest.mark.parametrize("quota", ["invites_per_day", "pending_invites"])
async def test_no_more_of_them_than_a_user_may_have(make_server, quota):
    server = make_server(settings={**web_settings(), "hosts": {"example.org": {quota: 2, "landing_page": None}}})
    promote(server)
    async with await server.login("alice") as alice:
        invites = [await new_invite(alice) for _ in range(4)]
    demote(server)
    with pytest.raises(StanzaError, match=f"cancel/item-not-found: {STOPPED}"):
        await register(server, "carol", invites[2])
    assert (await Visitor(server).get(Visitor(server).path(invites[3]))).status == 422
    for name, invite in zip(("carol", "dave"), invites):
        await register(server, name, invite)
    if quota == "pending_invites":  # the first two are used
        await used(server, invites[1])
        await register(server, "erin", invites[2])
    promote(server)
    await register(server, "frank", invites[3])


async def test_an_account_that_was_too_new_to_invite(make_server):
    server = make_server(settings={"hosts": {"example.org": {"inviter_age": "1h"}}})
    await register(server, "carol", generate(server))
    promote(server, "carol")
    async with await server.login("carol") as carol:
        invite = await new_invite(carol)
    demote(server, "carol")
    with pytest.raises(StanzaError, match=f"cancel/item-not-found: {STOPPED}"):
        await register(server, "dave", invite)


async def test_a_password_reset_link_ends_with_the_right(make_server):
    server = make_server()
    promote(server)
    async with await server.login("alice") as alice:
        link = await reset_link(alice, "bob")
    demote(server)
    with pytest.raises(StanzaError, match=f"cancel/item-not-found: {STOPPED}"):
        await register(server, "bob", link, password="a new one")
    assert await has_account(server, "bob")


async def test_an_admin_of_the_daemon_loses_it_with_the_configuration(make_server):
    server = make_server(settings={"hosts": {"example.org": {"admins": ["alice@example.org"]}}})
    async with await server.login("alice") as alice:
        invite, link = await new_account_invite(alice, {"uses": "9"}), await reset_link(alice, "bob")
    server.daemon.config["hosts"]["example.org"]["admins"] = []
    server.daemon.restart()
    for username, of_no_use in (("guest", invite), ("bob", link)):
        with pytest.raises(StanzaError, match=STOPPED):
            await register(server, username, of_no_use)
    promote(server)  # an admin of Prosody has the right as well
    await register(server, "guest", invite)
    await register(server, "bob", link, password="a new one")
    assert await has_account(server, "bob", password="a new one")
