"""An invite changes the subscription of a contact,
but not the name and groups that a user gave them."""

from xml.sax.saxutils import quoteattr

import pytest

from harness.stories import generate, new_invite, register
from harness.xmpp import ROSTER

ALICE, BOB = "alice@example.org", "bob@example.org"


async def note_contact(stream, jid, name, group):
    item = f"<item jid={quoteattr(jid)} name={quoteattr(name)}><group>{group}</group></item>"
    await stream.ask("set", f"<query xmlns='{ROSTER}'>{item}</query>")


def noted(item):
    return item.subscription, item.name, item.groups


async def test_when_two_users_become_contacts(make_server):
    server = make_server()
    alice, bob = await server.login("alice"), await server.login("bob")
    await note_contact(alice, BOB, "Bobby", "Neighbours")
    await note_contact(bob, ALICE, "The one from next door", "House")
    bob.subscribe(ALICE, generate(server, "--contact", ALICE, "--contact-only").token)
    await bob.presence_from(ALICE, "subscribed")
    assert noted((await alice.roster())[BOB]) == ("both", "Bobby", {"Neighbours"})
    assert noted((await bob.roster())[ALICE]) == ("both", "The one from next door", {"House"})


async def test_when_a_friend_takes_the_username_that_the_inviter_had_noted(make_server):
    server = make_server()
    alice = await server.login("alice")
    await note_contact(alice, "carol@example.org", "Caro", "Family")
    await register(server, "carol", await new_invite(alice))
    push = await alice.roster_push("carol@example.org", "both")
    assert noted(push) == ("both", "Caro", {"Family"})


@pytest.mark.parametrize("before", ["to", "from"])
async def test_when_one_of_them_already_saw_the_others_presence(make_server, before):
    server = make_server()
    alice, bob = await server.login("alice"), await server.login("bob")
    watcher, watched = (alice, bob) if before == "to" else (bob, alice)
    watched_jid, watcher_jid = (BOB, ALICE) if before == "to" else (ALICE, BOB)
    await note_contact(alice, BOB, "Bobby", "Neighbours")
    watcher.subscribe(watched_jid)
    await watched.presence_from(watcher_jid, "subscribe")
    watched.send(f"<presence type='subscribed' to='{watcher_jid}'/>")
    await watcher.roster_push(watched_jid, "to")
    await watched.roster_push(watcher_jid, "from")

    bob.subscribe(ALICE, generate(server, "--contact", ALICE, "--contact-only").token)
    push = await alice.roster_push(BOB, "both")
    assert noted(push) == ("both", "Bobby", {"Neighbours"})
    await bob.roster_push(ALICE, "both")
