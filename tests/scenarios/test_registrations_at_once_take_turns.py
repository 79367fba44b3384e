"""Registrations that come together take turns, so that other requests are served in between. The
hook pauses after each password that it hashes, and between an account and its contact lists, until
a ping of its own is answered. The test plays the daemon, and answers the ping."""

import asyncio

import pytest

from harness.gate import GATE, PlayedDaemon, is_ping
from harness.stories import eventually
from harness.xmpp import StanzaError, children

NAMES = ["carol", "dave", "erin"]
BY_ALICE = "contact='alice@example.org'"


@pytest.fixture
def server(make_server):
    return make_server(run_daemon=False)


async def test_streams(server):
    played, streams, registrations = await reserved_at_once(server)
    for number, name in enumerate(NAMES):
        await registrations[name]
        ping = await next_ping(played)
        for later in NAMES[number + 1:]:
            assert not await played.account_exists(later)
        played.stream.reply(ping)


async def test_browsers(server):
    played = await connect(server)
    creations = [asyncio.create_task(played.create(f"reservation {name}", name, f"{name}'s password"))
                 for name in NAMES]
    for number, creation in enumerate(creations):
        assert await creation == "made"
        ping = await next_ping(played)
        for later in NAMES[number + 1:]:
            assert not await played.account_exists(later)
        played.stream.reply(ping)


async def test_contact_lists_have_a_turn_of_their_own(server):
    alice = await server.login("alice")
    played, streams, registrations = await reserved_at_once(server, BY_ALICE)
    for name in NAMES:
        await registrations[name]
        ping = await next_ping(played)
        assert f"{name}@example.org" not in await alice.roster()
        played.stream.reply(ping)
        ping = await next_ping(played)
        assert (await alice.roster())[f"{name}@example.org"].subscription == "both"
        for later in NAMES[NAMES.index(name) + 1:]:
            assert not await played.account_exists(later)
        played.stream.reply(ping)


async def test_an_account_that_is_deleted_before_its_contacts_are_made_has_used_its_invite(server):
    alice = await server.login("alice")
    played, streams, registrations = await reserved_at_once(server, BY_ALICE)
    await registrations["carol"]
    ping = await next_ping(played)
    server.prosody.shell('user:delete("carol@example.org")')
    assert not await played.account_exists("carol")
    played.stream.reply(ping)
    await next_ping(played)  # no other registration has begun before
    assert any(reports(stanza, "made") for stanza in played.stream.inbox)
    assert "carol@example.org" not in await alice.roster()


async def test_a_user_who_becomes_a_contact_meanwhile_needs_no_second_use(server):
    played, streams, registrations = await reserved_at_once(server, BY_ALICE)
    await registrations["carol"]
    ping = await next_ping(played)
    carol = await server.login("carol", "carol's password")
    carol.subscribe("alice@example.org", "A" * 24)
    question = await played.stream.expect(lambda stanza: children(stanza, "contact"), what="the hook's question")
    played.stream.reply(ping)
    await played.stream.expect(lambda stanza: reports(stanza, "made"), what="the use that made the account")
    played.stream.reply(question, f"<reserved xmlns='{GATE}' purpose='contact'/>")
    await played.stream.expect(lambda stanza: reports(stanza, "not-made"), what="the use that is not needed")


async def test_a_browser_is_answered_when_the_contact_lists_are_written(server):
    alice = await server.login("alice")
    played = await connect(server)
    creation = asyncio.create_task(played.create("r1", "carol", "carol's password", contact="alice@example.org"))
    ping = await next_ping(played)
    assert await played.account_exists("carol") and not creation.done()
    assert "carol@example.org" not in await alice.roster()
    played.stream.reply(ping)
    assert await creation == "made"
    assert (await alice.roster())["carol@example.org"].subscription == "both"


async def test_a_client_that_is_gone_gives_the_use_back(server):
    played, streams, registrations = await reserved_at_once(server)
    ping = await next_ping(played)
    goodbyes = server.prosody.log.count("Client disconnected")
    streams["dave"].abort()
    await eventually(lambda: server.prosody.log.count("Client disconnected") > goodbyes, "the stream is gone")
    played.stream.reply(ping)
    await played.stream.expect(lambda stanza: reports(stanza, "not-made"), what="the use that is not needed")
    played.stream.reply(await next_ping(played))
    await registrations["erin"]
    assert not await played.account_exists("dave")
    with pytest.raises(ConnectionError):
        await registrations["dave"]


@pytest.mark.parametrize("how, invited", [("no answer", ""), ("an error", ""), ("the daemon goes", ""),
                                          ("no answer", BY_ALICE), ("the daemon goes", BY_ALICE)])
async def test_no_registration_waits_for_a_daemon_that_does_not_answer(server, how, invited):
    played, streams, registrations = await reserved_at_once(server, invited)
    ping = await next_ping(played)
    if how == "an error":
        played.stream.reply_error(ping, "cancel", "service-unavailable")
    elif how == "the daemon goes":
        played.stream.abort()
    for name in NAMES:
        await registrations[name]
    assert not any(is_ping(stanza) for stanza in played.stream.inbox)  # not even one for each registration in line
    if invited:
        alice = await server.login("alice")
        assert set(await alice.roster()) >= {f"{name}@example.org" for name in NAMES}


async def test_no_registration_goes_on_when_the_module_is_unloaded(server):
    played, streams, registrations = await reserved_at_once(server)
    await next_ping(played)
    server.prosody.shell('module:unload("easy_invite", "example.org")')
    await registrations["carol"]
    for name in NAMES[1:]:
        with pytest.raises(StanzaError, match="wait/resource-constraint: .*try again later"):
            await registrations[name]


async def reserved_at_once(server, invited=""):
    """A played daemon that has reserved a use for each of three
    registrations at once, with their streams and tasks."""
    played = await connect(server)
    streams = {name: await server.connect() for name in NAMES}
    registrations, questions = {}, []
    for name, stream in streams.items():
        registrations[name] = asyncio.create_task(stream.registration_set(name, f"{name}'s password"))
        asked = await played.stream.expect(lambda stanza: children(stanza, "reserve"), what="the hook's question")
        questions.append(asked)
    for question in questions:
        played.stream.reply(question, f"<reserved xmlns='{GATE}' purpose='register' {invited}/>")
    return played, streams, registrations


async def connect(server):
    """A played daemon that leaves pings to the test."""
    played = await PlayedDaemon.connect(server)
    played.stream.on_request = None
    return played


async def next_ping(played):
    return await played.stream.expect(is_ping, what="the hook's ping")


def reports(stanza, fate):
    """Whether the hook says in it what became of a reservation."""
    return any(element.get("is") == fate for element in children(stanza, "fate"))
