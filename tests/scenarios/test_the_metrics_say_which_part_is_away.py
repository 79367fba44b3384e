"""The gauges of the metrics say which part is away: the chat server, the module of a host, or the
store. A number that is not known is not shown. When the part is back, so is its number."""

import asyncio

import pytest

from harness.prometheus import metrics_settings, shown
from harness.stories import eventually, generate

pytestmark = pytest.mark.one_setup

COMPONENT = "easy_invite_component_connected"
HOOK = 'easy_invite_hook_up{host="example.org"}'
PENDING = 'easy_invite_invites_pending{host="example.org"}'
OPEN = 'easy_invite_uses_open{host="example.org"}'
NOTICES = "easy_invite_notices_queued"
WELL = {COMPONENT: 1, HOOK: 1, PENDING: 1, OPEN: 0, NOTICES: 0}


@pytest.fixture
def server(make_server):
    return make_server(settings=metrics_settings())


async def test_each_part_is_away_for_a_while(server, failing_postgres):
    generate(server)
    await shows(server, WELL)

    server.prosody.shell('module:unload("easy_invite", "example.org")')
    await shows(server, {**WELL, HOOK: 0})
    server.prosody.shell('module:load("easy_invite", "example.org")')
    await shows(server, WELL)

    server.prosody.stop()
    await shows(server, {**WELL, COMPONENT: 0, HOOK: 0})
    server.prosody.start()
    await shows(server, WELL)

    failing_postgres.kill()
    await shows(server, {COMPONENT: 1, HOOK: 1})
    failing_postgres.start()
    await shows(server, WELL)


async def shows(server, expected: dict[str, int]) -> None:
    """Waits until the gauges are as expected, and no other is shown."""
    async def others():
        found = await asyncio.to_thread(shown, server)
        return {name: found.get(name) for name in WELL if found.get(name) != expected.get(name)}
    try:
        async def are_right():
            return not await others()
        await eventually(are_right, "the gauges are right")
    except AssertionError as error:
        raise AssertionError(f"{error}: {await others()}, and not {expected}") from None
