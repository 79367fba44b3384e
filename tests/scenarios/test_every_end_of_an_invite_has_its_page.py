"""Each obstacle has a status for programs, and a page
that tells people what is wrong and what to do now."""

import asyncio
import re
import sqlite3
from html import unescape

import pytest

from harness.stories import eventually, generate, has_account, in_store, register, revoke, show, used
from harness.web import Visitor, text, web_settings

pytestmark = pytest.mark.one_setup


async def test_an_invite_that_is_over(web_server):
    unknown, expired, revoked, used_up = ("B" * 24, *[generate(web_server) for _ in range(3)])
    in_store(web_server, "UPDATE invite SET expires_at = created_at WHERE id = ?", show(web_server, expired)["id"])
    revoke(web_server, revoked)
    await register(web_server, "dave", used_up)
    await used(web_server, used_up)
    visitor = Visitor(web_server)
    for invite, status, heading in [(unknown, 404, text("unknown")),
                                    ("short", 404, text("incomplete")),
                                    (expired, 410, text("expired")),
                                    (revoked, 410, text("revoked")),
                                    (used_up, 410, text("used"))]:
        for page in ("", "register", "reset", "apps"):
            answer = await visitor.get(visitor.path(invite, page))
            assert (answer.status, answer.heading) == (status, heading), page
        form = {"username": "mallory", "password": "mallory's own"}
        posted = await visitor.post(visitor.path(invite, "register"), form)
        assert posted.status in (status, 403)
    page = await visitor.get(visitor.path(used_up))
    assert text("was_it_you") in page.text
    [log_in] = [link for link in map(unescape, re.findall('href="([^"]*)"', page.body)) if "have=account" in link]
    log_in = await visitor.get(log_in)
    assert log_in.status == 200 and "@example.org" in log_in.text


async def test_an_address_without_a_page(web_server):
    invite, visitor = generate(web_server), Visitor(web_server)
    for path in ("/", "/join", "/join/", "/join/i", "/join/i/", f"/join/i/{invite.token}/nothing",
                 "/joini/" + invite.token, "/logo", "/join/logo", "//", "/%00", "/%ff", "/join/i/%ff", "/join/i/%",
                 "/favicon.ico", "/" + "x" * 8000):
        answer = await visitor.get(path)
        assert answer.status == 404 and answer.heading, path
    for method, page, allowed in [
            ("POST", "", "GET,HEAD"), ("PUT", "register", "GET,HEAD,POST"), ("DELETE", "", "GET,HEAD"),
            ("OPTIONS", "", "GET,HEAD"), ("TRACE", "", "GET,HEAD"), ("BREW", "", "GET,HEAD")]:
        answer = await visitor.request(method, visitor.path(invite, page))
        assert (answer.status, answer.header("Allow")) == (405, allowed), method


async def test_a_request_that_is_too_large(web_server):
    invite, visitor = generate(web_server), Visitor(web_server)
    answers = await visitor.filled_in(invite, "erin", "x" * 20_000)
    answer = await visitor.post(visitor.path(invite, "register"), answers)
    assert (answer.status, answer.heading) == (413, text("too_large"))
    head = await visitor.get(visitor.path(invite), {"X-Long": "x" * 100_000})
    assert head.status == 431
    assert show(web_server, invite)["uses"] == 0


async def test_prosody_is_away_for_a_moment(make_server):
    server = make_server(settings=web_settings())
    invite, visitor = generate(server), Visitor(server)
    filled = await visitor.filled_in(invite, "carol")
    server.prosody.kill()
    assert (await visitor.get(visitor.path(invite))).status == 200, "the page itself needs no Prosody"
    away = await visitor.post(visitor.path(invite, "register"), filled)
    assert away.status == 503 and text("unreachable", table="failure") in away.text, away.text
    assert 0 < int(away.header("Retry-After")) <= 60
    server.prosody.start()
    await eventually(lambda: server.daemon.log.count("the hook is there") == 2, "the daemon is connected again")
    welcome = await visitor.post(visitor.path(invite, "register"), filled)
    assert (welcome.status, welcome.heading) == (200, text("welcome", account="carol@example.org"))
    await used(server, invite)


async def test_prosody_hangs(make_server):
    server = make_server(settings=web_settings())
    invite, visitor = generate(server), Visitor(server)
    filled = await visitor.filled_in(invite, "carol")
    server.prosody.pause()
    away = await visitor.post(visitor.path(invite, "register"), filled)
    assert (away.status, away.header("Retry-After")) == (503, "60")
    server.prosody.resume()
    welcome = await visitor.post(visitor.path(invite, "register"), filled)
    assert welcome.status == 200 and await has_account(server, "carol")
    await used(server, invite)


@pytest.mark.store("sqlite")
async def test_the_store_is_locked(web_server):
    invite, visitor = generate(web_server), Visitor(web_server)
    filled = await visitor.filled_in(invite, "frank")
    with sqlite3.connect(web_server.daemon.folder / "easy-invite.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert (await visitor.get(visitor.path(invite))).status == 200
        away = await visitor.post(visitor.path(invite, "register"), filled)
        assert (away.status, away.header("Retry-After")) == (503, "60")
        assert text("unreachable", table="failure") not in away.text, "it is not the chat server's fault"
        other.execute("ROLLBACK")
    assert not await has_account(web_server, "frank")
    assert (await visitor.post(visitor.path(invite, "register"), filled)).status == 200


@pytest.mark.store("postgres")
async def test_the_store_cannot_be_asked(make_server, postgres):
    server = make_server(settings=web_settings())
    invite, visitor = generate(server), Visitor(server)
    filled = await visitor.filled_in(invite, "carol")
    postgres.pause()
    try:
        shown, sent = await asyncio.gather(visitor.get(visitor.path(invite)),
                                           visitor.post(visitor.path(invite, "register"), filled))
    finally:
        postgres.resume()
    for away in (shown, sent):
        assert (away.status, away.header("Retry-After")) == (503, "60")
        assert away.heading == text("away")
    assert (await visitor.post(visitor.path(invite, "register"), filled)).status == 200
