"""A page and its style are one request. The browser may load nothing else: no script, no frame, and
no style but the one whose hash the page's policy names."""

import base64
import hashlib
import re

import pytest

from harness.stories import generate
from harness.web import Visitor, web_settings

pytestmark = pytest.mark.one_setup

# What would let a browser run a script, or ask another site. No page has any of it.
ACTIVE = re.compile(r"<(?:script|iframe|object|embed|base)| on[a-z]+=| style=|javascript:|@import"
                    r"|url\(\s*['\"]?http", re.I)


@pytest.mark.parametrize("accent", [None, "#ffd200"])
async def test_the_style_is_the_one_that_is_allowed(make_server, accent):
    server = make_server(settings=web_settings(**({"accent": accent} if accent else {})))
    invite, visitor = generate(server), Visitor(server)
    pages = [visitor.path(invite, page) for page in ("", "apps", "register")]
    for path in (*pages, visitor.path("A" * 24)):
        page = await visitor.get(path)
        policy = dict(part.strip().split(" ", 1) for part in page.header("Content-Security-Policy").split(";"))
        [style] = re.findall("<style>(.*?)</style>", page.body, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert policy == {"default-src": "'none'", "style-src": f"'sha256-{digest}'", "img-src": "'self' data:",
                          "form-action": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'"}
        assert not ACTIVE.search(page.body), ACTIVE.search(page.body)
        assert (accent is None) == ("#ffd200" not in style)
        assert len(page.raw) < 50_000
