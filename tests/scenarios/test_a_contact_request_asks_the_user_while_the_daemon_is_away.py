"""While its token cannot be checked, a contact request is treated as one without a token:
the user decides."""

from harness.stories import generate


async def test_bob_opens_a_link_of_alice_while_the_daemon_is_away(server):
    invite = generate(server, "--contact", "alice@example.org", "--contact-only")
    server.daemon.stop()
    alice, bob = await server.login("alice"), await server.login("bob")
    bob.subscribe("alice@example.org", invite.token)
    await alice.presence_from("bob@example.org", "subscribe")

    alice.send("<presence type='subscribed' to='bob@example.org'/>")
    await bob.roster_push("alice@example.org", "to")
