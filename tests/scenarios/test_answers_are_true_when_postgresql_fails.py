"""PostgreSQL restarts, crashes, ends its connections or hangs while people invite and register.
Requests that need it then are refused as temporary. Every success that was reported is in the
store, once. Everything works again by itself afterwards, and the daemon's memory barely grows."""

import asyncio

import pytest

from harness.crowd import Crowd
from harness.relay import Relay
from harness.torture import UNLIMITED
from harness.watch import Watch

pytestmark = pytest.mark.store("postgres")

HANGS_FOR = 8  # seconds: the daemon gives up after 4, the module after 5
AWAY_FOR = 6
LOST_COMMITS = 10
MOST_GROWTH = 8 * 1024  # kB, at any moment
MOST_CONNECTIONS = 16


async def restart(postgres):
    await asyncio.to_thread(postgres.restart)


async def crash(postgres):
    await asyncio.to_thread(postgres.kill)
    await asyncio.sleep(AWAY_FOR)
    await asyncio.to_thread(postgres.start)


async def crash_for_a_moment(postgres):
    for _ in range(3):
        await asyncio.to_thread(postgres.kill)
        await asyncio.to_thread(postgres.start)
        await asyncio.sleep(0.5)


async def lose_connections(postgres):
    for _ in range(20):
        await asyncio.to_thread(postgres.end_connections)
        await asyncio.sleep(0.1)


async def hang(postgres):
    postgres.pause()
    await asyncio.sleep(HANGS_FOR)
    postgres.resume()


@pytest.mark.seconds(150)
@pytest.mark.parametrize("fault, refuses", [(restart, False), (crash, True), (crash_for_a_moment, False),
                                            (lose_connections, False), (hang, True)])
async def test_while_people_invite_and_register(make_server, failing_postgres, fault, refuses):
    server = make_server(settings=UNLIMITED)
    with Watch(server) as watch:
        async with Crowd(server) as crowd:
            await fault(failing_postgres)
    watch.assert_bounded(growth=MOST_GROWTH, files=MOST_CONNECTIONS, open_uses=len(crowd.links))
    assert not refuses or crowd.refusals, "the fault made no request fail"
    await crowd.count()
    assert server.daemon.logins == 1


@pytest.mark.parametrize("lost", ["Q....COMMIT", "C....COMMIT"], ids=["the-request", "the-answer"])
async def test_a_commit_whose_outcome_is_unknown(make_server, store_url, postgres, lost):
    """The connection ends just before the commit, or its confirmation, arrives."""
    with Relay(postgres.port) as relay:
        url = store_url().replace(f"127.0.0.1:{postgres.port}", relay.address)
        server = make_server(store_url=url, settings=UNLIMITED)
        async with Crowd(server) as crowd:
            for _ in range(LOST_COMMITS):
                relay.before(f"(?s){lost}", lambda: None)
                assert await asyncio.to_thread(relay.struck.wait, 10)
        await crowd.count()


async def test_a_daemon_that_starts_first_waits(make_server, failing_postgres):
    server = make_server(run_daemon=False, settings=UNLIMITED)
    failing_postgres.stop()
    server.daemon.start(wait=False)
    await asyncio.sleep(AWAY_FOR)
    assert "trying again" in server.daemon.log and server.daemon.logins == 0
    failing_postgres.start()
    await asyncio.to_thread(server.daemon.wait_until_logged_in)
    async with Crowd(server) as crowd:
        pass
    await crowd.count()
