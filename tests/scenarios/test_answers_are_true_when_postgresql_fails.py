"""PostgreSQL restarts, crashes, ends its connections or hangs while people invite and register.
Requests that need it then are refused as temporary. Every success that was reported is in the
store, once. Everything works again by itself afterwards, and the daemon's memory barely grows."""

import asyncio

import pytest

from harness.crowd import Crowd
from harness.relay import Relay
from harness.stories import eventually
from harness.torture import UNLIMITED
from harness.watch import Watch

pytestmark = pytest.mark.store("postgres")

LOST_COMMITS = 10
MOST_GROWTH = 8 * 1024  # kB, at any moment
MOST_CONNECTIONS = 16


async def restart(postgres, crowd):
    await asyncio.to_thread(postgres.restart)


async def crash(postgres, crowd):
    await asyncio.to_thread(postgres.kill)
    await eventually(lambda: crowd.refusals, "requests are refused")
    await asyncio.to_thread(postgres.start)


async def crash_for_a_moment(postgres, crowd):
    for _ in range(3):
        await asyncio.to_thread(postgres.kill)
        await asyncio.to_thread(postgres.start)
        await asyncio.sleep(0.5)


async def lose_connections(postgres, crowd):
    for _ in range(20):
        await asyncio.to_thread(postgres.end_connections)
        await asyncio.sleep(0.1)


async def hang(postgres, crowd):
    postgres.pause()
    await eventually(lambda: crowd.refusals, "requests are refused")
    postgres.resume()


@pytest.mark.seconds(150)
@pytest.mark.parametrize("fault", [restart, crash, crash_for_a_moment, lose_connections, hang])
async def test_while_people_invite_and_register(make_server, failing_postgres, fault):
    server = make_server(settings=UNLIMITED)
    with Watch(server) as watch:
        async with Crowd(server) as crowd:
            await fault(failing_postgres, crowd)
    watch.assert_bounded(growth=MOST_GROWTH, files=MOST_CONNECTIONS, open_uses=len(crowd.links))
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
                await relay.until_struck()
        await crowd.count()


async def test_a_daemon_that_starts_first_waits(make_server, failing_postgres):
    server = make_server(run_daemon=False, settings=UNLIMITED)
    failing_postgres.stop()
    server.daemon.start(wait=False)
    await eventually(lambda: "trying again" in server.daemon.log, "the daemon waits")
    assert server.daemon.logins == 0
    failing_postgres.start()
    await asyncio.to_thread(server.daemon.wait_until_logged_in)
    async with Crowd(server) as crowd:
        pass
    await crowd.count()
