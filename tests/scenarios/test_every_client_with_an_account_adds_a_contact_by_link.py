"""A link that registers is also a contact link for a user who has an account:
no second account, no question."""

import pytest

from harness import clients
from harness.server import password_of
from harness.stories import generate, new_invite, requests_to, used

CONTACT = "alice@example.org"


@pytest.mark.parametrize("kind", clients.ALL_THAT_REDEEM)
async def test_both_become_contacts_at_once(make_server, kind):
    server = make_server()
    alice = await server.login("alice")
    invite = await new_invite(alice)
    bob = kind(server)
    await bob.log_in("bob", password_of("bob"))
    await bob.add_contact(invite.uri)

    await alice.roster_push("bob@example.org", "both")
    await bob.stream.roster_push(CONTACT, "both")
    await alice.presence_from(bob.jid)
    await bob.stream.presence_from(alice.jid)
    assert await requests_to(server, "alice") == set()
    assert await requests_to(server, "bob") == set()
    await used(server, invite)


async def test_beagle_too(make_server):
    server = make_server()
    alice = await server.login("alice")
    bob = clients.Beagle(server)
    await bob.log_in("bob", password_of("bob"))
    await bob.add_contact(generate(server, "--contact", CONTACT, "--contact-only").uri)
    await alice.roster_push("bob@example.org", "both")
    await bob.stream.roster_push(CONTACT, "both")
