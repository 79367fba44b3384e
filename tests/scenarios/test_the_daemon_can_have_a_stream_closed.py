"""After too many unknown tokens from an address, or in all, the daemon refuses further ones: the
hook passes the refusal on and closes the stream. A registration that is refused for this reason is
only refused."""

import asyncio

import pytest

from harness.gate import component
from harness.xmpp import StanzaError, children

REFUSAL = "Too many invitations that are not valid came from where you are. Please try again later."


@pytest.fixture
def server(make_server):
    return make_server(run_daemon=False)


async def test_a_token_is_refused_and_the_stream_closed(server):
    daemon, stream = await component(server), await server.connect()
    presented = asyncio.create_task(stream.preauth("A" * 24))
    question = await daemon.expect(lambda stanza: children(stanza, "check"), what="the hook's question")
    daemon.reply_error(question, "wait", "policy-violation", REFUSAL)
    with pytest.raises(StanzaError, match=f"wait/policy-violation: {REFUSAL}"):
        await presented
    assert "policy-violation" in await stream.expect_end()


async def test_a_registration_is_refused(server):
    daemon, stream = await component(server), await server.connect()
    for _ in range(2):
        registered = asyncio.create_task(stream.registration_set("carol", "carol's password"))
        question = await daemon.expect(lambda stanza: children(stanza, "reserve"), what="the hook's question")
        daemon.reply_error(question, "wait", "policy-violation", REFUSAL)
        with pytest.raises(StanzaError, match=f"wait/policy-violation: {REFUSAL}"):
            await registered
    assert stream.end is None


async def test_tokens_sent_together_are_checked_one_after_the_other(server):
    daemon, stream = await component(server), await server.connect()
    stream.send("".join(f"<iq type='set' id='{number}'><preauth xmlns='urn:xmpp:pars:0' token='{number}'/></iq>"
                        for number in range(3)))
    for number in range(3):
        question = await daemon.expect(lambda stanza: children(stanza, "check"), what="the hook's question")
        assert children(question, "check")[0].get("token") == str(number)
        await daemon.expect_nothing(lambda stanza: children(stanza, "check"), 0.3, "a second question")
        daemon.reply_error(question, "cancel", "item-not-found")
        await stream.expect_stanza("iq", id=str(number))
