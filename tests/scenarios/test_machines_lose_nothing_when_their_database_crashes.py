"""PostgreSQL crashes at the moment when one of two machines commits, and restarts at once, again
and again. After a crash the other machine may write first, and then its transaction gets the number
of the lost one. Every success that was reported is in the store, once."""

import asyncio
import hashlib

import pytest

from harness.crowd import Crowd
from harness.relay import Relay
from harness.stories import eventually, in_store, new_invite
from harness.torture import UNLIMITED
from harness.xmpp import StanzaError

pytestmark = pytest.mark.store("postgres")

CRASHES = 8
BUSY = ("alice", "bob", "admin")


@pytest.mark.seconds(150)
async def test_at_a_commit_of_one_of_two(make_server, store_url, failing_postgres):
    url = store_url()
    with Relay(failing_postgres.port) as relay:
        through = url.replace(f"127.0.0.1:{failing_postgres.port}", relay.address)
        here = make_server(version="0.12", store_url=through, settings=UNLIMITED)
        there = make_server(version="13", store_url=url, settings=UNLIMITED)
        closing, made = asyncio.Event(), []
        others = [asyncio.create_task(invite(there, username, closing, made)) for username in BUSY]
        async with Crowd(here) as crowd:
            for _ in range(CRASHES):
                await asyncio.sleep(1)
                relay.before("(?s)Q....COMMIT", failing_postgres.kill)
                await relay.until_struck()
                await asyncio.to_thread(failing_postgres.start)
        await eventually(lambda: len(made) > CRASHES, "the other machine has made invites, too")
        closing.set()
        await asyncio.gather(*others)
        await crowd.count()
        # The first three bytes of a stored hash are not the hash's.
        kept = {bytes(token_hash)[3:] for token_hash, in in_store(there, "SELECT token_hash FROM invite")}
        assert {hashlib.sha256(link.token.encode()).digest()[3:] for link in made} <= kept


async def invite(server, username, closing, made):
    """Makes invites one after the other, as fast as possible."""
    stream = await server.login(username, resource="busy")
    while not closing.is_set():
        try:
            made.append(await new_invite(stream))
        except StanzaError as refusal:
            assert (refusal.type, refusal.condition) == ("wait", "resource-constraint"), str(refusal)
            await asyncio.sleep(0.05)
