"""Whoever presents wrong tokens on one connection is answered more and more slowly, and then cut off, however many
tokens are sent ahead. Nobody else waits meanwhile."""

import pytest

from harness.stories import generate, register
from harness.xmpp import StanzaError, local_name, preauth_element

UNKNOWN = "A" * 24
AT_ONCE = 3
MOST = 10
SENT_AHEAD = 40


@pytest.fixture
def server(make_server):
    return make_server(settings={"limits": {"wrong_tokens": "unlimited"}})  # of an address, whatever the connection


async def test_others_register_meanwhile(server):
    invite = generate(server)
    guessers = [await guesser_of(server, token) for token in (UNKNOWN, "", "A" * 200)]
    for guesser in guessers:
        for number in range(MOST - 3):
            refused = await guesser.expect_stanza("iq", type="error", id=f"guess-{number}")
            assert refused.find(".//{*}item-not-found") is not None
    await register(server, "quick", invite)
    assert [guesser.end for guesser in guessers] == [None] * len(guessers)
    for guesser in guessers:
        assert "policy-violation" in await guesser.expect_end()
        rest = [element.get("id") for element in guesser.inbox if local_name(element) == "iq"]
        assert rest == [f"guess-{number}" for number in range(MOST - 3, MOST)]


async def test_other_streams_are_answered_at_once(server):
    other, invite = await server.connect(), generate(server)
    guesser = await guesser_of(server)
    await guesser.expect_stanza("iq", id=f"guess-{AT_ONCE + 1}")  # the next answer takes its time
    for _ in range(AT_ONCE):
        with pytest.raises(StanzaError, match="cancel/item-not-found"):
            await other.preauth(UNKNOWN)
    for _ in range(MOST):  # what is an invite is not slowed
        await other.preauth(invite.token)
    assert not [element for element in guesser.inbox if element.get("id") == f"guess-{AT_ONCE + 2}"]
    await guesser.expect_stanza("iq", id=f"guess-{AT_ONCE + 2}")


async def test_whoever_goes_away_meanwhile_harms_nobody(server):
    for _ in range(20):
        guesser = await guesser_of(server)
        await guesser.expect_stanza("iq", id=f"guess-{AT_ONCE - 1}")
        guesser.abort()
    last = await guesser_of(server)
    await last.expect_stanza("iq", id=f"guess-{AT_ONCE + 1}")  # later than what would have gone to the others
    await register(server, "unharmed", generate(server))
    assert "Traceback" not in server.prosody.log


async def guesser_of(server, token=UNKNOWN):
    """A stream on which many wrong tokens have been sent."""
    stream = await server.connect()
    presented = preauth_element(token)
    stream.send("".join(f"<iq type='set' id='guess-{number}'>{presented}</iq>" for number in range(SENT_AHEAD)))
    return stream
