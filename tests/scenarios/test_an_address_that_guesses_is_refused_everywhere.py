"""Wrong tokens on pages and in chat clients count together: an address with too many is refused in
both places. The pages and forms of an address are limited as well. Other addresses are not
affected."""

import pytest

from harness.stories import generate, has_account, register, show
from harness.web import Visitor, web_settings
from harness.xmpp import StanzaError

pytestmark = pytest.mark.one_setup

GUESSER, OTHER = "127.0.0.2", "127.0.0.3"
UNKNOWN = "A" * 24
MOST = 20  # wrong tokens, if nothing else is configured
REFUSED = "Too many unknown invitations have been tried from your network"


@pytest.mark.parametrize("on_pages", [MOST, 0, MOST // 2])
async def test_wherever_it_guesses(make_server, on_pages):
    server = make_server(settings=web_settings())
    invite, visitor = generate(server), Visitor(server, GUESSER)
    guesses = [UNKNOWN, UNKNOWN + ".", "%ff" + UNKNOWN, UNKNOWN + "/register", UNKNOWN + "/apps"]
    for number in range(on_pages):
        answer = await visitor.get(visitor.path(guesses[number % len(guesses)]))
        assert answer.status == (404 if number + 1 < MOST else 429)
    for number in range(on_pages, MOST):
        with pytest.raises(StanzaError):
            async with await server.connect(source=GUESSER) as stream:
                await stream.preauth(UNKNOWN)
    warning = f"WARN too many unknown invitations from {GUESSER}: refused for 10 minutes\n"
    assert server.daemon.log.count(warning) == 1
    for page in ("", "apps", "register"):
        for ask in (visitor.get, visitor.head):
            refused = await ask(visitor.path(invite, page))
            assert refused.status == 429 and 0 < int(refused.header("Retry-After")) <= 600
            assert refused.headers_of("Link") == []
    assert (await visitor.post(visitor.path(invite, "register"), {"username": "mallory"})).status == 429
    with pytest.raises(StanzaError, match=REFUSED):
        await register(server, "mallory", invite, source=GUESSER)
    assert await door_is_open(server, Visitor(server, OTHER), invite)


async def test_used_links_are_no_guesses(make_server):
    server = make_server(settings=web_settings())
    used_up, visitor = generate(server), Visitor(server, GUESSER)
    assert (await visitor.register(used_up, "carol")).status == 200
    for _ in range(2 * MOST):
        assert (await visitor.get(visitor.path(used_up))).status == 410
    assert await door_is_open(server, visitor, generate(server))


async def test_pages_and_forms_are_limited(make_server):
    server = make_server(settings={**web_settings(), "limits": {"pages": 5, "forms": 2}})
    invite, visitor = generate(server), Visitor(server, GUESSER)
    form = await visitor.filled_in(invite, "", "")
    path = visitor.path(invite, "register")
    assert [(await visitor.post(path, form)).status for _ in range(4)] == [422, 422, 429, 429]
    assert [(await visitor.get(visitor.path(invite))).status for _ in range(5)] == [200, 200, 200, 200, 429]
    refused = await visitor.head(visitor.path(invite))
    assert (refused.status, refused.headers_of("Link")) == (429, []) and 0 < int(refused.header("Retry-After")) <= 600
    assert "too many unknown invitations" not in server.daemon.log, "there was no guess"
    await register(server, "carol", generate(server), source=GUESSER)  # chat clients have no such limits
    assert await door_is_open(server, Visitor(server, OTHER), invite)


async def test_one_address_makes_a_limited_number_of_accounts_by_an_invite_for_many(make_server):
    server = make_server(settings={**web_settings(), "limits": {"registrations": 2}})
    invite = generate(server, "--uses", "unlimited")
    visitor = Visitor(server, GUESSER)
    await register(server, "one", invite, source=GUESSER)
    assert (await visitor.register(invite, "two")).status == 200
    refused = await visitor.register(invite, "three")
    assert refused.status == 429 and int(refused.header("Retry-After")) > 80_000
    with pytest.raises(StanzaError):
        await register(server, "three", invite, source=GUESSER)
    assert not await has_account(server, "three") and show(server, invite)["uses"] == 2
    assert (await Visitor(server, OTHER).register(invite, "three")).status == 200


async def door_is_open(server, visitor, invite):
    """Whether a visitor sees the invite's page and registers with it."""
    seen = await visitor.get(visitor.path(invite))
    welcome = await visitor.register(invite, f"welcome-{visitor.source.rpartition('.')[2]}")
    return (seen.status, welcome.status) == (200, 200)
