"""A page and its style are one request, and the browser is told to take nothing else: no script, no frame, no style but the
one whose hash is named, which is the one on the page."""

import base64
import hashlib
import re

import pytest

from harness.stories import generate
from harness.web import Visitor, web_settings

pytestmark = pytest.mark.one_setup

# What lets a browser run something, or ask elsewhere: none of it is on a page.
ACTIVE = re.compile(r"<(?:script|iframe|object|embed|base)| on[a-z]+=| style=|javascript:|@import|url\(\s*['\"]?http", re.I)


@pytest.mark.parametrize("accent", [None, "#ffd200"])
async def test_the_style_is_the_one_that_is_allowed(make_server, accent):
    server = make_server(settings=web_settings(**({"accent": accent} if accent else {})))
    invite, visitor = generate(server), Visitor(server)
    for path in (visitor.path(invite), visitor.path(invite, "apps"), visitor.path(invite, "register"), visitor.path("A" * 24)):
        page = await visitor.get(path)
        policy = dict(part.strip().split(" ", 1) for part in page.header("Content-Security-Policy").split(";"))
        [style] = re.findall("<style>(.*?)</style>", page.body, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert policy == {"default-src": "'none'", "style-src": f"'sha256-{digest}'", "img-src": "'self' data:",
                          "form-action": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'"}
        assert not ACTIVE.search(page.body), ACTIVE.search(page.body)
        assert (accent is None) == ("#ffd200" not in style)
        assert len(page.raw) < 50_000
