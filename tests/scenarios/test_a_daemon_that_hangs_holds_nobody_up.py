"""While the daemon hangs (SIGSTOP), registrations are refused within seconds, as temporary, and
everything else works. When the daemon goes on, the token of a refused registration is still
good."""

import asyncio

import pytest

from harness.stories import conclusive, eventually, generate, has_account, served_before, show
from harness.watch import Watch
from harness.xmpp import PING, StanzaError

MOST_GROWTH = 4 * 1024  # kB
MOST_CONNECTIONS = 16  # to PostgreSQL


@pytest.fixture
def hanging(server):
    """The daemon, for the test to pause. It goes on afterwards in any case."""
    yield server.daemon
    server.daemon.resume()


async def test_registration_is_refused_others_are_served_and_the_token_stays_good(server, hanging):
    invite, bob, stream = generate(server), await server.login("bob"), await server.connect()
    await stream.preauth(invite.token)
    hanging.pause()

    with Watch(server) as watch:
        async def others_are_served():
            refused = [asyncio.create_task(assert_refused(trying)) for trying in (stream, await server.connect())]
            served = await served_before(refused, others)
            await asyncio.gather(*refused)
            return served

        async def others():
            await bob.ask("get", f"<ping xmlns='{PING}'/>", "example.org")
            async with await server.login("alice"):
                pass

        await conclusive(others_are_served, "others are served while the module waits for 5 seconds")
        assert not await has_account(server, "carol")

        hanging.resume()
        await stream.registration_set("carol", "carol's password")
        await eventually(lambda: show(server, invite)["state"] == "redeemed", "the invite is used")
    watch.assert_bounded(growth=MOST_GROWTH, files=MOST_CONNECTIONS, open_uses=1)
    assert server.daemon.logins == 1


async def assert_refused(stream):
    with pytest.raises(StanzaError, match="wait/resource-constraint: .*try again later"):
        await stream.registration_set("carol", "carol's password")
