"""Another module holds a registration back, as one that asks for a captcha does, and goes on with it
later: from a timer or the callback of a web request, outside of the coroutines in which modules can
wait. The daemon decides all the same, and nobody else waits for long."""

import asyncio

import pytest

from harness.gate import PlayedDaemon
from harness.prosody import INVITE_HOST
from harness.server import Server
from harness.stories import generate, has_account, new_invite, register, show, used
from harness.xmpp import StanzaError, to_xml

WAYS = ("timer", "direct", "http", "coroutine")
each = pytest.mark.parametrize("way", WAYS)
OPEN = {"hosts": {"example.org": {"registration_invite_only": False},
                  "closed.example": {"registration_invite_only": True}},
        "limits": {"forms": "unlimited"}}
WITH_CAPTCHA = INVITE_HOST.replace('"easy_invite"', '"easy_invite", "captcha"')


def start(make, **options):
    return make(hosts={"example.org": WITH_CAPTCHA,
                       "closed.example": WITH_CAPTCHA + 'easy_invite_component = "invite.example.org"\n'},
                http=True, settings=OPEN, **options)


@pytest.fixture(scope="module")
def server(prosody_version, store_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with start(lambda **options: Server(prosody_version, folder, store_url=store_url(), **options)) as running:
        yield running


@each
async def test_on_an_open_host(server, way):
    await register(server, f"{way}-carol")
    assert await has_account(server, f"{way}-carol")
    with pytest.raises(StanzaError, match="cancel/conflict"):
        await register(server, f"{way}-carol", password="mallory's")
    assert await has_account(server, f"{way}-carol")


@each
async def test_a_reserved_name_stays_reserved(server, way):
    invite = generate(server, "--username", f"{way}-dave")
    with pytest.raises(StanzaError, match="cancel/conflict: The requested username is reserved"):
        await register(server, f"{way}-dave")
    assert not await has_account(server, f"{way}-dave")
    await register(server, f"{way}-dave", invite)
    await used(server, invite)


@each
async def test_on_a_closed_host(server, way):
    with pytest.raises(StanzaError, match="not-acceptable: Registration on this server is through invitation only"):
        await register(server, f"{way}-erin", domain="closed.example")
    assert not await has_account(server, f"{way}-erin", domain="closed.example")
    invite = generate(server, host="closed.example")
    await register(server, f"{way}-erin", invite, domain="closed.example")
    assert await has_account(server, f"{way}-erin", domain="closed.example")
    await used(server, invite)
    with pytest.raises(StanzaError):
        await register(server, f"{way}-frank", invite, domain="closed.example")


@each
async def test_an_inviter_becomes_a_contact(server, way):
    async with await server.login("alice") as alice:
        invite = await new_invite(alice)
    await register(server, f"{way}-grace", invite)
    await used(server, invite)
    async with await server.login(f"{way}-grace") as grace:
        assert {jid: item.subscription for jid, item in (await grace.roster()).items()} == {"alice@example.org": "both"}


@each
async def test_many_at_once(server, way):
    await asyncio.gather(*(register(server, f"{way}-guest{number}") for number in range(12)))
    invite = generate(server, "--uses", "3")
    outcomes = await asyncio.gather(*(register(server, f"{way}-friend{number}", invite) for number in range(8)),
                                    return_exceptions=True)
    assert outcomes.count(None) == 3, outcomes
    assert show(server, invite)["uses"] == 3


async def test_with_another_backend_of_prosodys(make_server):
    server = start(make_server, global_lines='network_backend = "select"')
    await register(server, "timer-carol")
    with pytest.raises(StanzaError, match="wait/resource-constraint"):
        await register(server, "direct-carol")
    assert 'needs the usual network_backend, "epoll"' in server.prosody.log


async def test_a_daemon_that_is_away_or_hangs(make_server):
    server = start(make_server)
    server.daemon.stop()
    for way in WAYS:
        with pytest.raises(StanzaError, match="wait/resource-constraint: Invitations cannot be checked"):
            await register(server, f"{way}-heidi")
    silent = await PlayedDaemon.connect(server)
    async with await server.login("bob") as bob:
        for _ in range(3):
            with pytest.raises(StanzaError, match="wait/resource-constraint: Invitations cannot be checked"):
                await register(server, "direct-heidi")
        await bob.roster()
    asked = [stanza for stanza in silent.stream.inbox if "direct-heidi" in to_xml(stanza)]
    assert len(asked) == 1, "the server stands still for one question, and not for each"
    assert not await has_account(server, "direct-heidi")
