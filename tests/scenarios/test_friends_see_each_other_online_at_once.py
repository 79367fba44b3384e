"""Inviter and friend become contacts on all devices, whoever is online first.
Neither has to do anything."""

from harness.stories import new_invite, register, requests_to
from harness.xmpp import local_name


async def test_all_devices_of_the_inviter_learn_of_the_friend(server):
    phone = await server.login("alice", resource="phone")
    desktop = await server.login("alice", resource="desktop")
    await register(server, "carol", await new_invite(phone))
    await phone.roster_push("carol@example.org", "both")
    await desktop.roster_push("carol@example.org", "both")

    carol = await server.login("carol")
    await carol.presence_from(phone.jid)
    await carol.presence_from(desktop.jid)
    await phone.presence_from(carol.jid)
    await desktop.presence_from(carol.jid)


async def test_an_inviter_who_was_away_has_the_friend_later(server):
    bob = await server.login("bob")
    invite = await new_invite(bob)
    await bob.close()
    await register(server, "dave", invite)
    dave = await server.login("dave")

    bob = await server.login("bob")
    await bob.presence_from(dave.jid)
    await dave.presence_from(bob.jid)
    assert (await bob.roster())["dave@example.org"].subscription == "both"


async def test_nobody_is_asked_anything(server):
    alice = await server.login("alice")
    await register(server, "erin", await new_invite(alice))
    await alice.roster_push("erin@example.org", "both")
    erin = await server.login("erin")
    await erin.presence_from(alice.jid)
    await alice.presence_from(erin.jid)

    erin.send_message(alice.jid, "Here I am")
    await alice.expect_stanza("message", sender=erin.jid)
    for stream in (alice, erin):
        assert "subscribe" not in [stanza.get("type") for stanza in stream.inbox if local_name(stanza) == "presence"]
    assert await requests_to(server, "alice") == set()
    assert await requests_to(server, "erin") == set()


async def test_the_new_contact_has_no_name_and_no_group(server):
    alice = await server.login("alice")
    await register(server, "frank", await new_invite(alice))
    for contact in (await alice.roster(), await (await server.login("frank")).roster()):
        item = contact.get("frank@example.org") or contact["alice@example.org"]
        assert (item.name, item.groups, item.ask) == (None, frozenset(), None)
