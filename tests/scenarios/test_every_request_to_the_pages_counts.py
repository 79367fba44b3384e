"""Every request counts once, even for a page that does not exist: as a form if it sends one, and
otherwise as a page. Beyond the limit, an address gets only 429."""

import itertools

import pytest

from harness.stories import generate
from harness.web import HTML_FORM, Visitor, web_settings

pytestmark = pytest.mark.one_setup

PAGES, FORMS = 4, 2
SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.fixture
def server(make_server, tmp_path):
    (tmp_path / "logo.svg").write_text(SVG)
    settings = web_settings(logo=str(tmp_path / "logo.svg"))
    return make_server(settings={**settings, "limits": {"pages": PAGES, "forms": FORMS}})


def visitors(server):
    """Visitors from different addresses."""
    return (Visitor(server, f"127.0.1.{number}") for number in itertools.count(1))


async def statuses(visitor, requests, method, path, headers=None, body=b""):
    """The statuses of equal requests."""
    return [(await visitor.request(method, path, headers, body)).status for _ in range(requests)]


async def test_as_a_page(server):
    invite = generate(server)
    page = Visitor(server).path(invite)
    for visitor, (method, path, status) in zip(visitors(server), [
            ("GET", page, 200), ("HEAD", page, 200), ("GET", page + "/apps", 200),
            ("GET", page + "/register", 200), ("GET", page + "/reset", 303),
            ("GET", page + "/apps?on=%ff&on=&have", 200), ("GET", page + "?" + "x" * 4000, 200),
            ("GET", "/", 404), ("HEAD", "/", 404), ("GET", "/join", 404), ("GET", "/robots.txt", 404),
            ("GET", "/favicon.ico", 404), ("GET", page + "/nothing", 404), ("POST", "/", 404),
            ("POST", page + "/nothing/register", 404), ("OPTIONS", "*", 404),
            ("OPTIONS", page, 405), ("POST", page, 405), ("PUT", page + "/register", 405),
            ("DELETE", page + "/reset", 405), ("BREW", page, 405), ("POST", "/logo", 405),
            ("GET", "/logo", 200), ("HEAD", "/join/logo", 200)]):
        expected = [status] * PAGES + [429] * 2
        assert await statuses(visitor, PAGES + 2, method, path) == expected, (method, path)
        elsewhere = [await visitor.get(other) for other in (page, "/", "/logo")]
        assert [answer.status for answer in elsewhere] == [429] * 3, (method, path)
        assert all(0 < int(answer.header("Retry-After")) <= 600 for answer in elsewhere)


async def test_as_a_form(server):
    invite = generate(server)
    for visitor, (page, body, status) in zip(visitors(server), [
            ("register", b"", 403), ("register", b"x=%ff", 403), ("register", b"x" * 9000, 413), ("reset", b"", 303)]):
        about = {"Content-Type": HTML_FORM, "Content-Length": str(len(body))}
        path = visitor.path(invite, page)
        answers = await statuses(visitor, FORMS + 2, "POST", path, about, body)
        assert answers == [status] * FORMS + [429] * 2, (page, body[:9])
        assert (await visitor.get(visitor.path(invite))).status == 200, "forms and pages are counted separately"
