"""The machine's clock is a year ahead: the daemon starts with it, or it jumps while the daemon
runs. By that clock all invites have expired, and would be removed. They are not: the log says what
the clock shows, and when it is set right, everybody can use them. A store that really was not used
for a year is tidied up some hours later. With a right clock, old data is removed at once."""

import time

import pytest

from harness.stories import eventually, events, generate, in_store, register, show, used

YEAR, HOURS = 400 * 24 * 3600, 7 * 3600
DAYS = 20 * 24 * 3600

pytestmark = pytest.mark.one_setup


@pytest.fixture
def server(make_server):
    return make_server(movable_clock=True)


async def start_at(server, offset: int) -> None:
    """Starts the daemon anew with a clock that is so many seconds ahead, and waits until it has removed what
    it removes at once."""
    server.daemon.stop()
    server.clock.set(offset)
    server.daemon.start()
    await seen_at(server, offset)


async def seen_at(server, offset: int) -> None:
    """Waits until the daemon has written that it is at work, by a clock that is so many seconds ahead."""
    def seen() -> bool:
        [(at,)] = in_store(server, "SELECT at FROM last_seen")
        return abs(int(at) - time.time() - offset) < 60
    await eventually(seen, "the daemon has been seen")


def warnings(server) -> int:
    return server.daemon.log.count("a daemon was last seen at")


async def test_when_the_daemon_starts(server):
    invite = generate(server)
    for times in (1, 2):  # the second start finds the time that the first has written
        await start_at(server, YEAR)
        await eventually(lambda: warnings(server) == times, "the log says it")
        assert show(server, invite)["state"] == "expired"
    await start_at(server, 0)
    await register(server, "carol", invite)
    await used(server, invite)


async def test_when_it_jumps_while_the_daemon_runs(server):
    invite = generate(server)
    await seen_at(server, 0)
    server.clock.set(YEAR)
    await seen_at(server, YEAR)
    await start_at(server, YEAR)
    await eventually(lambda: warnings(server) == 1, "the log says it")
    assert show(server, invite)["state"] == "expired"
    server.clock.set(-YEAR)
    await seen_at(server, -YEAR)
    await start_at(server, 0)
    await eventually(lambda: warnings(server) == 2, "the log says it")
    await register(server, "carol", invite)


async def test_but_what_was_not_used_for_a_year_is_tidied_up_later(server):
    invite = generate(server)
    await seen_at(server, 0)
    await start_at(server, YEAR)
    assert show(server, invite)["state"] == "expired"
    await start_at(server, YEAR + HOURS)
    await eventually(lambda: in_store(server, "SELECT count(*) FROM invite") == [(0,)], "the invite is removed")


async def test_and_old_events_are_removed_by_a_right_clock(make_server):
    server = make_server(movable_clock=True, settings={"store": {"audit": "28d"}})
    first = generate(server)
    await seen_at(server, 0)
    await start_at(server, DAYS)  # a step that is longer than events are kept would be a jump
    second = generate(server)
    await start_at(server, 2 * DAYS)
    await eventually(lambda: events(server, "--invite", first.uri) == [], "the old event is removed")
    assert [event["action"] for event in events(server, "--invite", second.uri)] == ["made"], "it is younger"
    assert show(server, first)["state"] == "expired", "the invite stays for as long as retention says"
