"""Tokens are guessed from many addresses, few from each. After 1000 wrong tokens within ten
minutes, anybody who presents a wrong one is told to wait. A client with an invite registers all the
while."""

import asyncio
import itertools

import pytest

from harness.stories import Invite, has_account, register
from harness.xmpp import StanzaError

pytestmark = [pytest.mark.store("sqlite"), pytest.mark.seconds(120)]

MOST_IN_ALL = 1000
A_STREAM = 3  # wrong tokens on one stream, before answers slow down
AT_A_TIME = 8
HONEST = "127.0.0.3"
UNKNOWN = "A" * 24
REFUSED = ("wait/policy-violation: This server does not recognise this invitation, and too many unknown invitations "
           "are being tried. Please try again after 20")


async def test_while_a_client_with_an_invite_registers(server):
    made = server.daemon.cli("generate", "example.org", "--count", "300")
    invites = [Invite(link) for link in made.stdout.split()]
    guessing = asyncio.gather(*(guess(server, number) for number in range(AT_A_TIME)))
    registered = 0
    while not guessing.done():
        await register(server, f"honest{registered}", invites.pop(), source=HONEST)
        registered += 1
    wrong, barred = map(sum, zip(*guessing.result()))
    assert wrong == MOST_IN_ALL and barred >= AT_A_TIME
    assert registered

    stream = await server.connect(source="127.0.0.4")
    with pytest.raises(StanzaError, match=REFUSED):
        await stream.preauth(UNKNOWN)
    await register(server, "late", invites.pop(), source=HONEST)
    assert await has_account(server, "late") and await has_account(server, "honest0")
    told = [line for line in server.daemon.log.splitlines() if "WARN" in line]
    assert [line.partition("WARN ")[2] for line in told] == ["more than 1000 unknown invitations within 10 minutes"]


async def guess(server, number):
    """Presents wrong tokens, each stream from another address, until one is refused.

    Returns the numbers of wrong and of refused tokens.
    """
    wrong = 0
    for stream_number in itertools.count():
        stream = await server.connect(source=f"127.0.{number + 1}.{stream_number % 250 + 1}")
        for _ in range(A_STREAM):
            try:
                await stream.preauth(UNKNOWN)
            except StanzaError as refusal:
                if refusal.condition == "policy-violation":
                    return wrong, 1
                assert refusal.condition == "item-not-found", str(refusal)
                wrong += 1
        await stream.close()
