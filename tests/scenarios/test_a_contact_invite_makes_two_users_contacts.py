"""A user opens another user's contact link (XEP-0379).
Both become contacts at once, and nobody is asked."""

from harness.stories import generate, requests_to, used

ALICE, BOB = "alice@example.org", "bob@example.org"


async def test_both_are_online_to_each_other_at_once(make_server):
    server = make_server()
    alice, bob = await server.login("alice"), await server.login("bob")
    invite = generate(server, "--contact", ALICE, "--contact-only")
    assert invite.uri == f"xmpp:alice@example.org?roster;preauth={invite.token}"
    bob.subscribe(ALICE, invite.token)

    await bob.presence_from(ALICE, "subscribed")
    await bob.roster_push(ALICE, "both")
    await alice.roster_push(BOB, "both")
    await bob.presence_from(alice.jid)
    await alice.presence_from(bob.jid)
    assert (await bob.roster())[ALICE].ask is None
    assert await requests_to(server, "alice") == set()
    assert await requests_to(server, "bob") == set()
    await used(server, invite)


async def test_while_the_inviter_is_away(make_server):
    server = make_server()
    bob = await server.login("bob")
    bob.subscribe(ALICE, generate(server, "--contact", ALICE, "--contact-only").token)
    await bob.presence_from(ALICE, "subscribed")

    alice = await server.login("alice")
    assert (await alice.roster())[BOB].subscription == "both"
    await alice.presence_from(bob.jid)
    await bob.presence_from(alice.jid)


async def test_an_invite_with_two_uses_makes_two_contacts(make_server):
    server = make_server()
    alice = await server.login("alice")
    invite = generate(server, "--contact", ALICE, "--contact-only", "--uses", "2")
    for username in ("bob", "admin"):
        guest = await server.login(username)
        guest.subscribe(ALICE, invite.token)
        await alice.roster_push(f"{username}@example.org", "both")
    await used(server, invite, 2)
