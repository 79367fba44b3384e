"""Eight browsers and eight chat clients register at the same moment with one link. It makes as many
accounts as it has uses, and every success that was reported is an account."""

import asyncio

import pytest

from harness.server import password_of
from harness.stories import generate, has_account, in_store, show, used
from harness.web import Visitor
from harness.xmpp import StanzaError

pytestmark = pytest.mark.every_setup

EACH = 8


@pytest.mark.parametrize("uses", [1, 5])
async def test_for_different_names(web_server, uses):
    invite = generate(web_server, "--uses", str(uses))
    names = [f"{door}-{number}-of-{uses}" for number in range(EACH) for door in ("browser", "client")]
    winners = await race(web_server, invite, names)
    assert len(winners) == uses, winners
    for name in names:
        assert await has_account(web_server, name) == (name in winners)
    await used(web_server, invite, uses)
    invite_id = show(web_server, invite)["id"]
    assert in_store(web_server, "SELECT count(*) FROM invite_use WHERE invite = ?", invite_id) == [(uses,)]


async def test_for_the_same_name(web_server):
    invite = generate(web_server, "--uses", "unlimited")
    assert len(await race(web_server, invite, ["namesake"] * 2 * EACH)) == 1
    await used(web_server, invite)
    assert await has_account(web_server, "namesake")


async def race(server, invite, names):
    """The names that were told of success.
    Those at even places are browsers, the others clients."""
    browsers = [Visitor(server) for _ in names[::2]]
    forms = [await browser.filled_in(invite, name) for browser, name in zip(browsers, names[::2])]
    streams = [await server.connect() for _ in names[1::2]]
    for stream in streams:
        await stream.preauth(invite.token)

    async def by_browser(browser, form):
        while True:
            answer = await browser.post(browser.path(invite, "register"), form)
            if answer.status != 503:  # another registration holds the use at this moment
                assert answer.status in (200, 409, 410), answer.text
                return answer.status == 200

    async def by_client(stream, name):
        try:
            await stream.registration_set(name, password_of(name))
        except StanzaError as refusal:
            assert refusal.condition in ("not-acceptable", "resource-constraint", "conflict"), refusal
            return False
        return True

    runs = [run for pair in zip(map(by_browser, browsers, forms), map(by_client, streams, names[1::2])) for run in pair]
    told = await asyncio.gather(*runs)
    return [name for name, yes in zip(names, told) if yes]
