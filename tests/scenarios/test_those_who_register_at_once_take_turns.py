"""Of those who register at the same time, one asks the daemon when another one has been dealt with: between two passwords that are
hashed, the server does whatever else there is to do. Where the daemon is slow to answer, they all ask, and nobody waits for others."""

import asyncio

import pytest

from harness.gate import PlayedDaemon
from harness.stories import eventually
from harness.xmpp import StanzaError, children

REFUSAL = "Registration on this server is through invitation only"
NAMES = ["carol", "dave", "erin"]


@pytest.fixture
def server(make_server):
    return make_server(run_daemon=False)


async def test_one_asks_when_another_is_done(server):
    daemon, streams, registrations = await register_at_once(server)
    for name in NAMES:
        question = await next_question(daemon)
        assert children(question, "reserve")[0].get("username") == name
        await daemon.expect_nothing(lambda stanza: children(stanza, "reserve"), 0.3, "a second question")
        daemon.reply_error(question, "auth", "forbidden", REFUSAL)
        with pytest.raises(StanzaError, match=REFUSAL):
            await registrations[name]


async def test_all_ask_where_the_daemon_is_slow(server):
    daemon, streams, registrations = await register_at_once(server)
    questions = [await next_question(daemon) for _ in NAMES]
    await (await server.login("bob")).disco_info("example.org")  # and everybody else is served
    for question in questions:
        daemon.reply_error(question, "auth", "forbidden", REFUSAL)
    for name in NAMES:
        with pytest.raises(StanzaError, match=REFUSAL):
            await registrations[name]


async def test_who_is_gone_does_not_ask(server):
    daemon, streams, registrations = await register_at_once(server)
    question = await next_question(daemon)
    gone = server.prosody.log.count("Client disconnected")
    streams["dave"].abort()
    await eventually(lambda: server.prosody.log.count("Client disconnected") > gone, "the server knows that the stream is gone")
    daemon.reply_error(question, "auth", "forbidden", REFUSAL)
    question = await next_question(daemon)
    assert children(question, "reserve")[0].get("username") == "erin"
    daemon.reply_error(question, "auth", "forbidden", REFUSAL)
    await daemon.expect_nothing(lambda stanza: children(stanza, "reserve"), 0.3, "a question of somebody who is gone")
    for name in NAMES:
        with pytest.raises((StanzaError, ConnectionError)):
            await registrations[name]


@pytest.mark.parametrize("how", ["the daemon goes", "the module is unloaded"])
async def test_nobody_stays_in_line(server, how):
    daemon, streams, registrations = await register_at_once(server)
    await next_question(daemon)
    if how == "the daemon goes":
        daemon.abort()
    else:
        server.prosody.shell('module:unload("easy_invite", "example.org")')
    for name in NAMES:
        with pytest.raises(StanzaError, match="wait/resource-constraint: .*try again later"):
            await registrations[name]


async def register_at_once(server):
    """The daemon, which the test plays, and of each of three: their stream, and the registration that is on its way."""
    daemon = (await PlayedDaemon.connect(server)).stream
    streams, registrations = {}, {}
    for name in NAMES:
        streams[name] = await server.connect()
    for name, stream in streams.items():
        registrations[name] = asyncio.create_task(stream.registration_set(name, f"{name}'s password"))
        await asyncio.sleep(0.05)  # so that they come in this order
    return daemon, streams, registrations


async def next_question(daemon):
    return await daemon.expect(lambda stanza: children(stanza, "reserve"), what="the hook's question")
