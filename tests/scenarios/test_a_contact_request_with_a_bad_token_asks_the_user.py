"""A contact request with a bad token is treated as one without a token:
there is no error, and the user decides."""

import pytest

from harness import clients
from harness.server import password_of
from harness.stories import eventually, generate, new_account_invite, requests_to, reset_link, revoke, show, used
from harness.xmpp import children, preauth_element

ALICE, BOB = "alice@example.org", "bob@example.org"


def unknown(server):
    return "A" * 24


def empty(server):
    return ""


def far_too_long(server):
    return "A" * 1_000


def for_an_account(server):
    return generate(server).token


def for_another_inviter(server):
    return generate(server, "--contact", "admin@example.org", "--contact-only").token


def revoked(server):
    invite = generate(server, "--contact", ALICE, "--contact-only")
    revoke(server, invite)
    return invite.token


def for_a_password_reset(server):
    return generate(server, "--reset", "alice").token


@pytest.mark.parametrize("bad_token", [unknown, empty, far_too_long, for_an_account, for_another_inviter, revoked,
                                       for_a_password_reset], ids=lambda kind: kind.__name__)
async def test_the_user_is_asked(make_server, bad_token):
    server = make_server()
    alice, bob = await server.login("alice"), await server.login("bob")
    bob.send(f"<presence type='subscribe' to='{ALICE}'>{preauth_element(bad_token(server))}</presence>")
    await alice.presence_from(BOB, "subscribe")
    assert await requests_to(server, "alice") == {BOB}
    contact = (await bob.roster())[ALICE]
    assert (contact.subscription, contact.ask) == ("none", "subscribe")
    assert BOB not in await alice.roster()

    alice.send(f"<presence type='subscribed' to='{BOB}'/>")
    await bob.presence_from(ALICE, "subscribed")


async def test_the_users_client_gets_the_token_because_it_may_have_made_it(make_server):
    server = make_server()
    alice, bob = await server.login("alice"), await server.login("bob")
    bob.subscribe(ALICE, "made-by-alices-yaxim")
    request = await alice.presence_from(BOB, "subscribe")
    assert [preauth.get("token") for preauth in children(request, "preauth")] == ["made-by-alices-yaxim"]


async def test_the_user_is_asked_when_their_own_invite_makes_no_contacts(make_server):
    server = make_server()
    admin = await server.login("admin")
    invite = await new_account_invite(admin, {})
    link = await reset_link(admin, "alice@example.org")
    for guest, token in (("alice", invite.token), ("bob", link.token)):
        stream = await server.login(guest)
        stream.subscribe("admin@example.org", token)
        await admin.presence_from(f"{guest}@example.org", "subscribe")


async def test_the_user_is_asked_when_it_has_expired(make_server):
    server = make_server()
    alice, bob = await server.login("alice"), await server.login("bob")
    invite = generate(server, "--contact", ALICE, "--contact-only", "--expires", "1s")
    await eventually(lambda: show(server, invite)["state"] == "expired", "the invite has expired")
    bob.subscribe(ALICE, invite.token)
    await alice.presence_from(BOB, "subscribe")


async def test_the_user_is_asked_when_somebody_else_has_used_it(make_server):
    server = make_server()
    alice, bob, third = await server.login("alice"), await server.login("bob"), await server.login("admin")
    invite = generate(server, "--contact", ALICE, "--contact-only")
    bob.subscribe(ALICE, invite.token)
    await bob.presence_from(ALICE, "subscribed")
    await used(server, invite)
    third.subscribe(ALICE, invite.token)
    await alice.presence_from("admin@example.org", "subscribe")
    assert await requests_to(server, "alice") == {"admin@example.org"}


async def test_the_user_is_asked_by_monal_which_approves_beforehand(make_server):
    server = make_server()
    alice, bob = await server.login("alice"), clients.Monal(server)
    await bob.log_in("bob", password_of("bob"))
    await bob.add_contact(f"xmpp:{ALICE}?roster;preauth={unknown(server)}")
    await alice.presence_from(BOB, "subscribe")
    alice.send(f"<presence type='subscribed' to='{BOB}'/>")
    alice.subscribe(BOB)
    await alice.roster_push(BOB, "both")
    await bob.stream.roster_push(ALICE, "both")


async def test_nobody_becomes_a_contact_of_themselves(make_server):
    server = make_server()
    alice = await server.login("alice")
    invite = generate(server, "--contact", ALICE, "--contact-only")
    alice.subscribe(ALICE, invite.token)
    alice.send_message(ALICE, "to myself")
    await alice.expect_stanza("message", sender=alice.jid)
    assert await requests_to(server, "alice") == set()
    assert ALICE not in await alice.roster()
    assert show(server, invite)["state"] == "pending"
