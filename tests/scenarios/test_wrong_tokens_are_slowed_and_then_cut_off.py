"""Wrong tokens on one connection are answered more and more slowly, and then the connection is
closed, even if all were sent at once. Other connections do not wait."""

import itertools

import pytest

from harness.server import password_of
from harness.stories import conclusive, generate, register
from harness.xmpp import StanzaError, local_name, preauth_element

UNKNOWN = "A" * 24
AT_ONCE = 3
MOST = 10
SENT_AHEAD = 40


@pytest.fixture
def server(make_server):
    return make_server(settings={"limits": {"wrong_tokens": "unlimited"}})  # for an address


async def test_others_register_meanwhile(server):
    numbers = itertools.count()

    async def is_quick():
        guessers = [await guesser_of(server, token) for token in (UNKNOWN, "", "A" * 200)]
        for guesser in guessers:
            for number in range(MOST - 3):
                refused = await guesser.expect_stanza("iq", type="error", id=f"guess-{number}")
                assert refused.find(".//{*}item-not-found") is not None
        await register(server, f"quick-{next(numbers)}", generate(server))
        still_slowed = not any(guesser.end for guesser in guessers)
        for guesser in guessers:
            assert "policy-violation" in await guesser.expect_end()
            rest = [element.get("id") for element in guesser.inbox if local_name(element) == "iq"]
            assert rest == [f"guess-{number}" for number in range(MOST - 3, MOST)]
        return still_slowed

    await conclusive(is_quick, "somebody registers before the last answers come")


async def test_other_streams_are_answered_at_once(server):
    invite = generate(server)

    async def are_answered_before_the_next_slow_answer():
        other, guesser = await server.connect(), await guesser_of(server)
        await guesser.expect_stanza("iq", id=f"guess-{AT_ONCE + 1}")  # the next answer is slow
        for _ in range(AT_ONCE):
            with pytest.raises(StanzaError, match="cancel/item-not-found"):
                await other.preauth(UNKNOWN)
        for _ in range(MOST):  # valid tokens are not slowed
            await other.preauth(invite.token)
        in_time = not [element for element in guesser.inbox if element.get("id") == f"guess-{AT_ONCE + 2}"]
        await guesser.expect_stanza("iq", id=f"guess-{AT_ONCE + 2}")
        return in_time

    await conclusive(are_answered_before_the_next_slow_answer, "another stream is answered at once")


async def test_a_guesser_that_leaves_harms_nobody(server):
    for _ in range(20):
        guesser = await guesser_of(server)
        await guesser.expect_stanza("iq", id=f"guess-{AT_ONCE - 1}")
        guesser.abort()
    last = await guesser_of(server)
    await last.expect_stanza("iq", id=f"guess-{AT_ONCE + 1}")  # later than the answers to the others
    await register(server, "unharmed", generate(server))
    assert "Traceback" not in server.prosody.log


async def test_a_registration_does_not_start_the_count_anew(server):
    stream, invite = await server.connect(), generate(server)
    for _ in range(MOST - 1):
        with pytest.raises(StanzaError, match="cancel/item-not-found"):
            await stream.preauth(UNKNOWN)
    await stream.preauth(invite.token)
    await stream.registration_set("patient", password_of("patient"))
    with pytest.raises(StanzaError, match="cancel/item-not-found"):
        await stream.preauth(UNKNOWN)
    assert "policy-violation" in await stream.expect_end()


async def guesser_of(server, token=UNKNOWN):
    """A stream that has sent many wrong tokens."""
    stream = await server.connect()
    presented = preauth_element(token)
    stream.send("".join(f"<iq type='set' id='guess-{number}'>{presented}</iq>" for number in range(SENT_AHEAD)))
    return stream
