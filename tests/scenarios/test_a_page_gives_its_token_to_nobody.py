"""The token in a page's address stays between the page and its reader. It is in no cache, search
engine, link preview or log, and no other site gets it."""

import re

import pytest

from harness.stories import eventually, generate, reset_link
from harness.web import Visitor, web_settings

pytestmark = pytest.mark.one_setup

ENDED = "A" * 24
PREVIEWED = re.compile("<(?:meta|title)[^>]*>[^<]*")
LEADS_ELSEWHERE = re.compile('<(?:a|link|img|form)[^>]* (?:href|src|action)="(https?:[^"]*)"[^>]*>')


@pytest.mark.parametrize("kind, pages", [
        ("account", ["", "apps", "apps?have=account", "register"]), ("contact", ["", "apps"]),
        ("reset", ["", "apps", "reset"])])
async def test_on_any_page_of_an_invite(web_server, kind, pages):
    invite, visitor = await invite_of(web_server, kind), Visitor(web_server)
    for page in pages:
        for ask in (visitor.get, visitor.head):
            answer = await ask(visitor.path(invite, page))
            assert answer.status == 200
            keeps_it_private(answer)
            for tag in PREVIEWED.findall(answer.body):
                assert invite.token not in tag
            for tag in LEADS_ELSEWHERE.finditer(answer.body):
                # Google Play passes the link on to the app that it installs, which may have it.
                assert invite.token not in tag.group(1) or "play.google.com" in tag.group(1), tag.group(1)
                assert 'rel="noreferrer"' in tag.group(0), tag.group(0)
    told = await visitor.post(visitor.path(invite, "register"), {"username": "mallory"})
    assert invite.token not in web_server.daemon.log, told.status


async def test_nor_on_any_other_page(web_server):
    visitor = Visitor(web_server)
    for answer in [await visitor.get(visitor.path(ENDED)), await visitor.get("/"), await visitor.get(f"/x/{ENDED}/y"),
                   await visitor.request("PUT", visitor.path(ENDED)), await visitor.get(visitor.path("%ff%00")),
                   await visitor.post(visitor.path(ENDED, "register"), b"x" * 100_000)]:
        keeps_it_private(answer)
        assert ENDED not in answer.body
    assert ENDED not in web_server.daemon.log


async def test_nor_where_everything_is_logged(make_server):
    server = make_server(settings=web_settings(), environment={"EASY_INVITE_LOG": "trace"})
    invite, visitor = generate(server), Visitor(server)
    landing = await visitor.get(visitor.path(invite))
    welcome = await visitor.register(invite, "carol")
    assert (landing.status, welcome.status) == (200, 200)
    await visitor.send(f"GET {visitor.path(invite)} nonsense\r\n\r\n".encode())
    await eventually(lambda: "DEBUG a connection to the server for the web pages failed" in server.daemon.log,
                     "the log has it")
    assert invite.token not in server.daemon.log


async def invite_of(server, kind):
    if kind == "reset":
        async with await server.login("admin") as admin:
            return await reset_link(admin, "bob@example.org")
    return generate(server, *(["--contact", "alice@example.org", "--contact-only"] if kind == "contact" else []))


def keeps_it_private(answer):
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("Referrer-Policy") == "no-referrer"
    assert answer.header("X-Robots-Tag") == "noindex, nofollow"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert "default-src 'none'" in answer.header("Content-Security-Policy")
