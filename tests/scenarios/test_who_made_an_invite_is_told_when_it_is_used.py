"""When somebody uses an invite, its inviter gets a chat message from the component: who has joined
with which invitation, and how often it can still be used."""

import itertools

import pytest

from harness.prosody import USUAL_MODULES
from harness.server import Server
from harness.stories import (
    eventually, generate, in_store, leave_open, new_account_invite, new_invite, register, reset_link, revoke, show,
    used)
from harness.web import Visitor, web_settings
from harness.xmpp import XML, bare, child, local_name, to_xml

HINTS, STANZA_IDS, DELAY = "urn:xmpp:hints", "urn:xmpp:sid:0", "urn:xmpp:delay"
BLOCKING = "urn:xmpp:blocking"
AN_HOUR = 3600

# A name for each person who joins the server that the tests share.
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(prosody_version, store_url, tmp_path_factory):
    with Server(prosody_version, tmp_path_factory.mktemp("server"), store_url=store_url(), settings=web_settings(),
                modules=[*USUAL_MODULES, "blocklist"]) as running:
        yield running


@pytest.fixture
def carol():
    """The name of somebody who has no account yet."""
    return f"carol-{next(_numbers)}"


async def message_to(user):
    """The next chat message that a user gets from the component."""
    message = await user.expect(lambda stanza: local_name(stanza) == "message"
                                and stanza.get("from") == "invite.example.org", what="a message of the component")
    assert (message.get("type"), bare(message.get("to"))) == ("chat", bare(user.jid))
    return message


async def told(user):
    """The text of the next message."""
    return child(await message_to(user), "body").text


def waiting(server):
    """Of how many uses somebody is still to be told."""
    return in_store(server, "SELECT count(*) FROM notice")[0][0]


async def all_are_told(server):
    await eventually(lambda: waiting(server) == 0, "the chat server has taken all messages")


async def class_invite(server, admin, **answers):
    return await new_account_invite(admin, {"note": "Class 5b", **answers}, server.component)


async def test_at_once_with_the_note_and_what_is_left(server, carol):
    admin = await server.login("admin")
    invite = await class_invite(server, admin, uses="3")
    await register(server, carol, invite)
    message = await message_to(admin)
    assert child(message, "body").text == (
        f"{carol}@example.org has joined with your invitation “Class 5b”. It is good for 2 more people.")
    assert message.get(f"{{{XML}}}lang") == "en"
    assert message.find(f"{{{HINTS}}}store") is not None, "it goes to the archive"
    assert message.find(f"{{{STANZA_IDS}}}origin-id").get("id") == message.get("id")
    assert invite.token not in to_xml(message)
    await all_are_told(server)


async def test_an_invite_without_a_note_is_named_by_its_day(server, carol):
    alice = await server.login("alice")
    await register(server, carol, await new_invite(alice))
    text = await told(alice)
    assert text.startswith(f"{carol}@example.org has joined with your invitation from "), text
    assert text.endswith(" UTC."), "an invite for one says nothing of what is left"


async def test_who_is_offline_is_told_later(server, carol):
    async with await server.login("alice") as alice:
        invite = await new_invite(alice)
    await register(server, carol, invite)
    await used(server, invite)
    await all_are_told(server)
    message = await message_to(await server.login("alice"))
    assert carol in child(message, "body").text
    assert message.find(f"{{{DELAY}}}delay") is not None


@pytest.mark.parametrize(("language", "words"), [
    ("de-AT", "ist mit deiner Einladung vom"), ("pl", "ma już konto dzięki Twojemu zaproszeniu z"),
    ("tlh", "has joined with your invitation from")])
async def test_in_the_language_in_which_the_invite_was_made(server, carol, language, words):
    async with await server.login("alice", language=language) as alice:
        invite = await new_invite(alice)
    alice = await server.login("alice", language="fr")
    await register(server, carol, invite)
    message = await message_to(alice)
    assert f"{carol}@example.org {words} " in child(message, "body").text
    assert message.get(f"{{{XML}}}lang") == {"de-AT": "de", "tlh": "en"}.get(language, language)


async def test_of_somebody_who_registers_in_a_browser(server, carol):
    alice = await server.login("alice")
    invite, visitor = await new_invite(alice), Visitor(server)
    assert (await visitor.register(invite, carol, "an unusual long one")).status == 200
    assert f"{carol}@example.org has joined" in await told(alice)


async def test_of_a_new_contact(server):
    alice = await server.login("alice")
    invite = await new_invite(alice)
    bob = await server.login("bob")
    bob.subscribe("alice@example.org", invite.token)
    await alice.roster_push("bob@example.org", "both")
    assert (await told(alice)).startswith("bob@example.org has become your contact with your invitation from ")


async def test_the_operators_invite_tells_the_contact_whom_it_names_but_not_the_note(server, carol):
    alice = await server.login("alice")
    await register(server, carol, generate(server, "--contact", "alice@example.org", "--note", "watch this one"))
    assert await told(alice) == (
        f"1 person has used an invitation to example.org that names you as the contact.\n{carol}@example.org")


async def test_nobody_is_told_of_the_operators_other_invites_and_of_password_resets(server, carol):
    invite = generate(server)
    await register(server, carol, invite)
    await used(server, invite)
    admin = await server.login("admin")
    link = await reset_link(admin, f"{carol}@example.org", server.component)
    await Visitor(server).reset(link, "another unusual long one")
    await used(server, link)
    assert waiting(server) == 0
    await register(server, f"{carol}-too", await class_invite(server, admin))
    assert f"{carol}-too@" in await told(admin), "this is the first message"


async def test_an_invite_for_many_is_told_of_once_an_hour(server, carol):
    admin = await server.login("admin")
    invite = await class_invite(server, admin, uses="4")
    names = [f"{carol}-{number}" for number in range(4)]
    await register(server, names[0], invite)
    assert names[0] in await told(admin)
    await all_are_told(server)
    for name in names[1:]:
        await register(server, name, invite)
    await used(server, invite, 4)
    assert waiting(server) == 3
    in_store(server, "UPDATE invite SET told_at = told_at - ?, note = ?", AN_HOUR, "Class\u202e 6b\n\x07")
    text = await told(admin)
    assert text.splitlines() == [
        "3 people have used your invitation “Class 6b”. It is used up now.",
        *(f"{name}@example.org" for name in names[1:])]
    await all_are_told(server)


async def test_nothing_is_said_of_what_is_left_of_an_invite_that_was_revoked(server, carol):
    async with await server.login("admin") as admin:
        invite = await class_invite(server, admin, uses="9")
        await register(server, f"{carol}-first", invite)
        await told(admin)
    await register(server, carol, invite)
    await used(server, invite, 2)
    revoke(server, invite)
    admin = await server.login("admin")
    in_store(server, "UPDATE invite SET told_at = told_at - ?", AN_HOUR)
    assert await told(admin) == f"{carol}@example.org has joined with your invitation “Class 5b”."


async def test_a_use_that_a_crash_left_open_is_told_of_once_it_is_settled(server, carol):
    alice = await server.login("alice")
    invite = await new_invite(alice)
    leave_open(server, invite, "bob@example.org", reservation=carol)
    server.daemon.restart()
    assert "bob@example.org has joined" in await told(alice)
    await all_are_told(server)
    assert show(server, invite)["uses"] == 1


async def test_a_message_that_may_be_lost_is_sent_again_under_its_id(server, carol):
    alice = await server.login("alice")
    invite = await new_invite(alice)
    await register(server, carol, invite)
    first = await message_to(alice)
    await all_are_told(server)
    server.daemon.kill()
    # As if it had been killed before it heard that the message was taken.
    in_store(server, "INSERT INTO notice (invite_use, invite) SELECT id, invite FROM invite_use WHERE invite = ?",
             show(server, invite)["id"])
    server.daemon.start()
    again = await message_to(alice)
    assert (again.get("id"), child(again, "body").text) == (first.get("id"), child(first, "body").text)
    await all_are_told(server)


async def test_who_cannot_be_told_holds_up_nobody(server, carol):
    """alice blocks the component, so that the messages to her come back."""
    alice = await server.login("alice")
    await alice.ask("set", f"<block xmlns='{BLOCKING}'><item jid='{server.component}'/></block>")
    admin = await server.login("admin")
    await register(server, f"{carol}-first", await new_invite(alice))
    await register(server, carol, await class_invite(server, admin))
    assert carol in await told(admin)
    await all_are_told(server)
    await alice.ask("set", f"<unblock xmlns='{BLOCKING}'/>")


async def test_what_waits_for_an_account_that_is_deleted_goes_with_it(server, carol):
    server.prosody.adduser("erin@example.org", "erin's password")
    async with await server.login("erin") as erin:
        invite = await new_invite(erin)
    server.daemon.stop()
    leave_open(server, invite, "bob@example.org", reservation=carol)
    id = show(server, invite)["id"]
    in_store(server, "UPDATE invite_use SET redeemed_at = reserved_at WHERE invite = ?", id)
    in_store(server, "UPDATE invite SET uses = 1 WHERE id = ?", id)
    in_store(server, "INSERT INTO notice (invite_use, invite, message, leased_until) "
             "SELECT id, invite, id, ? FROM invite_use WHERE invite = ?", 32503680000, id)
    server.prosody.deluser("erin@example.org")
    server.daemon.start()
    await all_are_told(server)


async def test_notify_inviter_turns_it_off_and_on_while_the_daemon_runs(server, carol):
    admin = await server.login("admin")
    invite = await class_invite(server, admin, uses="9")
    await register(server, f"{carol}-first", invite)
    await told(admin)
    await register(server, f"{carol}-second", invite)
    await used(server, invite, 2)
    assert waiting(server) == 1, "for an hour"
    host = server.daemon.config["hosts"]["example.org"]
    host["notify_inviter"] = False
    server.daemon.reload()
    await all_are_told(server)
    await register(server, f"{carol}-third", invite)
    await used(server, invite, 3)
    assert waiting(server) == 0
    del host["notify_inviter"]
    server.daemon.reload()
    in_store(server, "UPDATE invite SET told_at = told_at - ?", AN_HOUR)
    await register(server, carol, invite)
    assert await told(admin) == (
        f"{carol}@example.org has joined with your invitation “Class 5b”. It is good for 5 more people.")
