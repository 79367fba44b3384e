"""Of those who register at the same time, one goes on when the server has served others after another: between two passwords that are
hashed, it reads what else there is to read. The hook sees that by the answer to a ping of its own: here, the test plays the daemon."""

import asyncio

import pytest

from harness.gate import GATE, PlayedDaemon, is_ping
from harness.stories import eventually
from harness.xmpp import StanzaError, children

NAMES = ["carol", "dave", "erin"]


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
    creations = [asyncio.create_task(played.create(f"reservation {name}", name, f"{name}'s password")) for name in NAMES]
    for number, creation in enumerate(creations):
        assert await creation == "created"
        ping = await next_ping(played)
        for later in NAMES[number + 1:]:
            assert not await played.account_exists(later)
        played.stream.reply(ping)


async def test_who_is_gone_gives_the_use_back(server):
    played, streams, registrations = await reserved_at_once(server)
    ping = await next_ping(played)
    gone = server.prosody.log.count("Client disconnected")
    streams["dave"].abort()
    await eventually(lambda: server.prosody.log.count("Client disconnected") > gone, "the server knows that the stream is gone")
    played.stream.reply(ping)
    await played.stream.expect(lambda stanza: children(stanza, "release"), what="the use that nobody needs")
    played.stream.reply(await next_ping(played))
    await registrations["erin"]
    assert not await played.account_exists("dave")
    with pytest.raises(ConnectionError):
        await registrations["dave"]


@pytest.mark.parametrize("how", ["no answer", "an error", "the daemon goes"])
async def test_nobody_waits_for_a_daemon_that_does_not_answer(server, how):
    played, streams, registrations = await reserved_at_once(server)
    ping = await next_ping(played)
    if how == "an error":
        played.stream.reply_error(ping, "cancel", "service-unavailable")
    elif how == "the daemon goes":
        played.stream.abort()
    for name in NAMES:
        await registrations[name]
    assert not any(is_ping(stanza) for stanza in played.stream.inbox)  # nor once for each of those in line


async def test_nobody_goes_on_when_the_module_has_gone(server):
    played, streams, registrations = await reserved_at_once(server)
    await next_ping(played)
    server.prosody.shell('module:unload("easy_invite", "example.org")')
    await registrations["carol"]
    for name in NAMES[1:]:
        with pytest.raises(StanzaError, match="wait/resource-constraint: .*try again later"):
            await registrations[name]


async def reserved_at_once(server):
    """The daemon, which has reserved a use for each of three at once; and of each: their stream, and the registration that is on its way."""
    played = await connect(server)
    streams = {name: await server.connect() for name in NAMES}
    registrations, questions = {}, []
    for name, stream in streams.items():
        registrations[name] = asyncio.create_task(stream.registration_set(name, f"{name}'s password"))
        questions.append(await played.stream.expect(lambda stanza: children(stanza, "reserve"), what="the hook's question"))
    for question in questions:
        played.stream.reply(question, f"<reserved xmlns='{GATE}' purpose='register'/>")
    return played, streams, registrations


async def connect(server):
    """A daemon that answers a ping when the test says so."""
    played = await PlayedDaemon.connect(server)
    played.stream.on_request = None
    return played


async def next_ping(played):
    return await played.stream.expect(is_ping, what="the hook's ping")
