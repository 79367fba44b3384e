"""Links on the pages lead to the public address in the configuration, whatever host a request
names. Pages are found below the path of that address, and at the root, for proxies that strip the
path."""

import itertools
import re
from html import unescape

import pytest

from harness.stories import generate, new_invite
from harness.web import Visitor, web_settings

pytestmark = pytest.mark.one_setup

FORGED = [
    {"Host": "evil.example"}, {"Host": None}, {"X-Forwarded-Host": "evil.example"},
    {"Forwarded": 'for=1.2.3.4;host="evil.example";proto=http'},
    {"X-Forwarded-Proto": "evil", "X-Forwarded-Prefix": "/evil.example", "X-Original-URL": "/evil.example"}]


@pytest.fixture(params=["", "/join", "/a/very-deep/~path/"])
def path(request):
    return request.param


async def test_whatever_host_a_request_names(web_server):
    invite, visitor = generate(web_server), Visitor(web_server)
    pages = ("", "apps", "register", "reset")
    for headers, page in itertools.product(FORGED, pages):
        answer = await visitor.get(visitor.path(invite, page), headers)
        assert answer.status == (303 if page == "reset" else 200)
        assert b"evil" not in answer.raw
    absolute = await visitor.get(f"http://evil.example{visitor.path(invite)}")
    assert absolute.status == 200 and b"evil" not in absolute.raw
    moved = await visitor.get(visitor.path(invite, "reset"))
    assert moved.header("Location") == visitor.path(invite, "register")


async def test_below_the_path_and_at_the_root(make_server, path):
    server = make_server(settings=web_settings(path=path))
    async with await server.login("alice") as alice:
        invite = await new_invite(alice)
    base = path.rstrip("/")
    public_url = server.daemon.config["web"]["public_url"].rstrip("/")
    visitor, prefixed, stripped = Visitor(server), f"{base}/i/{invite.token}", f"/i/{invite.token}"
    for place, page in itertools.product((prefixed, stripped), ("", "/apps", "/register")):
        answer = await visitor.get(place + page)
        assert answer.status == 200, place + page
        links = [unescape(link) for link in re.findall('(?:href|action|src)="([^"]*)"', answer.body)]
        inside = [link for link in links if link.startswith("/")]
        assert f"{base}/icon.png" in inside, links
        inside.remove(f"{base}/icon.png")
        assert inside and all(link.startswith(prefixed) for link in inside), links
    landing = await visitor.get(stripped)
    assert landing.header("Link") == f'<{invite.uri}>; rel="alternate"'
    form = await visitor.get(f"{stripped}/register")
    cookie = form.header("Set-Cookie") or f"Path={base}/;"
    assert f"Path={base}/;" in cookie and "Secure" not in cookie
    answers = {**form.fields, "username": "carol", "password": "carol's password"}
    welcome = await visitor.post(f"{stripped}/register", answers)
    assert welcome.status == 200
    made = server.daemon.cli("generate", "example.org")
    assert f"{public_url}/i/" in made.stdout


async def test_the_cookie_of_a_form_stays_with_https(make_server):
    server = make_server(settings=web_settings(public_url="https://invite.example.org/join"))
    invite = generate(server)
    form = await Visitor(server).get(f"/join/i/{invite.token}/register")
    name, *attributes = form.header("Set-Cookie").split("; ")
    assert name.startswith("__Host-easy-invite-form=")
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Strict", "Secure"]
