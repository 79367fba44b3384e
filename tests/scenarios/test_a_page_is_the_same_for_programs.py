"""Chat clients read the page of an invite without showing it. They ask for its headers or for all
of it, from any site, and find the invite's `xmpp:` address exactly once. Reading changes
nothing."""

import itertools

import pytest

from harness.stories import Invite, generate, in_store, revoke, show
from harness.web import Visitor

pytestmark = pytest.mark.one_setup

UNKNOWN = Invite(f"xmpp:example.org?register;preauth={'A' * 24}")


@pytest.mark.parametrize("options", [
    [], ["--username", "carol"], ["--contact", "alice@example.org"], ["--uses", "unlimited"],
    ["--contact", "alice@example.org", "--contact-only"], ["--reset", "bob"]])
async def test_an_invite_that_can_be_used_names_its_address_once(web_server, options):
    invite = generate(web_server, *options)
    visitor, before = Visitor(web_server), show(web_server, invite)
    got, headed = await visitor.get(visitor.path(invite)), await visitor.head(visitor.path(invite))
    for answer in (got, headed):
        assert answer.status == 200
        assert answer.headers_of("Link") == [f'<{invite.uri}>; rel="alternate"']
        assert answer.header("Access-Control-Allow-Origin") == "*"
        assert answer.header("Access-Control-Expose-Headers") == "Link"
        assert answer.header("Content-Type") == "text/html; charset=utf-8"
    assert show(web_server, invite) == before
    if "--username" in options:
        revoke(web_server, invite)


async def test_an_invite_that_has_ended_names_none(web_server):
    expired, revoked = generate(web_server), generate(web_server)
    revoke(web_server, revoked)
    in_store(web_server, "UPDATE invite SET expires_at = created_at WHERE id = ?", show(web_server, expired)["id"])
    visitor = Visitor(web_server)
    for invite, ask in itertools.product((expired, revoked, UNKNOWN), (visitor.get, visitor.head)):
        answer = await ask(visitor.path(invite))
        assert answer.status == (404 if invite is UNKNOWN else 410)
        assert answer.headers_of("Link") == []
        assert answer.header("Access-Control-Allow-Origin") == "*"
        assert invite.token not in answer.body.replace(visitor.path(invite), "")


async def test_headers_are_those_of_the_page(web_server):
    invite, visitor = generate(web_server), Visitor(web_server)
    for path in (visitor.path(invite), visitor.path(invite, "apps"), visitor.path(UNKNOWN), "/", "/join/"):
        got, headed = await visitor.get(path), await visitor.head(path)
        assert headed.raw.endswith(b"\r\n\r\n") and headed.body == ""
        assert headed.status == got.status
        of_get, of_head = ([(name.lower(), value) for name, value in answer.headers if name.lower() != "date"]
                           for answer in (got, headed))
        assert of_get == of_head
        assert got.header("Content-Length") == str(len(got.body.encode()))


async def test_reading_uses_nothing_up(web_server):
    invite = generate(web_server)
    before = show(web_server, invite)
    visitors = [Visitor(web_server, headers={"User-Agent": agent}) for agent in ("TelegramBot", "Android", "")]
    pages = ("", "apps", "register", "register?username=mallory&password=12345678")
    for visitor, page in itertools.product(visitors, pages):
        for ask in (visitor.get, visitor.head):
            assert (await ask(visitor.path(invite, page))).status == 200
    assert show(web_server, invite) == before
    assert in_store(web_server, "SELECT count(*) FROM invite_use WHERE invite = ?", before["id"]) == [(0,)]
