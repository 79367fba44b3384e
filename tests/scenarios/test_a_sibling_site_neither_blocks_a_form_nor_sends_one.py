"""Another site of the same domain can add cookies to those of the pages, and browsers count its
forms as same-site. A person registers all the same, and a form of the other site registers nobody.
This holds in a real browser, too, even in one that is so old that it does not say where a form
comes from."""

import asyncio
import contextlib
import ssl
from contextlib import asynccontextmanager

import pytest

from harness.chromium import chromium, fill_in, open_page, press, text_of
from harness.process import free_port
from harness.proxies import Nginx
from harness.stories import generate, has_account, reset_link, show
from harness.web import text, web_settings

pytestmark = [pytest.mark.one_setup, pytest.mark.seconds(120)]

NAMES = ("easy-invite-form", "__Host-easy-invite-form")
FORGED = "M" * 24
# Her cookies, by their paths: a browser keeps one for each, and sends those of longer paths first.
COOKIES = {"/cookies-that-block": {"/join/i/": "nonsense", "/join/i": "", "/join/": "é", "/join": '"', "/": FORGED},
           "/cookies-for-a-form": {"/join/i/": FORGED, "/": FORGED}}
PASSWORD = "mallory's choice"
# example.org and its sites are on this machine.
ARGUMENTS = ("--host-resolver-rules=MAP *.example.org 127.0.0.1", "--ignore-certificate-errors")

# What a browser does not say. Over plain HTTP, no browser sends Sec-Fetch-Site.
OLD_BROWSERS = {"new": [], "without Sec-Fetch-Site": ["Sec-Fetch-Site"],
                "without Origin": ["Sec-Fetch-Site", "Origin"]}


class Sites:
    """The pages on one site of a domain, mallory's on another, and a browser with her cookies."""

    def __init__(self, server, browser, mallory):
        self.server, self.browser, self.mallory = server, browser, mallory

    def form(self, invite, page):
        """The address of a form."""
        return f"{self.server.daemon.config['web']['public_url']}/i/{invite.token}/{page}"

    async def register(self, username, *, page="register", invite=None):
        """Opens mallory's site and then the form, fills it in and sends it.
        Returns the text of the page."""
        window = await open_page(self.browser, f"{self.mallory}/cookies-that-block")
        await window.goto(self.form(invite or generate(self.server), page))
        await fill_in(window, username=username, password=None if username else PASSWORD)
        return await text_of(window)

    async def forge(self, invite, username, page="register"):
        """Opens mallory's site and presses a button of hers, which sends her form.
        Returns the text of the page."""
        window = await open_page(self.browser, f"{self.mallory}/cookies-for-a-form")
        await window.goto(f"{self.mallory}/form?{self.form(invite, page)}?{username}")
        await press(window, "Win a prize")
        return await text_of(window)


@asynccontextmanager
async def mallorys(scheme, certificate=None, key=None):
    """A site of the same domain, which belongs to somebody else. Its address."""
    async def answer(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            path = (await reader.readuntil(b"\r\n\r\n")).decode().split()[1]
            headers, body = [], ""
            if path in COOKIES:
                secure = "; Secure" if scheme == "https" else ""
                headers = [f"Set-Cookie: {name}={value}; Domain=example.org; Path={below}{secure}"
                           for name in NAMES for below, value in COOKIES[path].items()]
            elif path.startswith("/form"):
                _, page, username = path.split("?")
                fields = {"form": FORGED, "username": username, "password": PASSWORD}
                inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
                body = f'<form method="post" action="{page}">{inputs}<button>Win a prize</button></form>'
            head = ["HTTP/1.1 200 OK", "Content-Type: text/html", "Connection: close", *headers]
            writer.write("\r\n".join([*head, "", body]).encode())
            await writer.drain()
        writer.close()

    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
    port = free_port()
    async with await asyncio.start_server(answer, "127.0.0.1", port, ssl=tls):
        yield f"{scheme}://mallory.example.org:{port}"


@asynccontextmanager
async def over_http(make_server):
    """The sites over plain HTTP."""
    settings = web_settings()
    port = settings["web"]["listen"].rpartition(":")[2]
    settings["web"]["public_url"] = f"http://invite.example.org:{port}/join"
    server = make_server(settings=settings)
    async with mallorys("http") as mallory, chromium(*ARGUMENTS) as browser:
        yield Sites(server, browser, mallory)


@asynccontextmanager
async def over_https(make_server, folder, unsaid):
    """The sites over HTTPS, by nginx, which hides these headers of the browser."""
    settings = web_settings()
    proxy = Nginx(folder, "", settings["web"]["listen"])
    proxy.more = "".join(f'proxy_set_header {header} "";\n' for header in unsaid)
    settings["web"]["public_url"] = f"https://invite.example.org:{proxy.port}/join"
    server = make_server(settings=settings)
    with proxy:
        async with mallorys("https", proxy.certificate, proxy.key) as mallory, chromium(*ARGUMENTS) as browser:
            yield Sites(server, browser, mallory)


def sites(make_server, tmp_path, how):
    """The sites, over HTTP or with a browser that is as old as this."""
    return over_http(make_server) if how == "http" else over_https(make_server, tmp_path, OLD_BROWSERS[how])


@pytest.mark.parametrize("how", ["http", *OLD_BROWSERS])
async def test_people_register_all_the_same(make_server, tmp_path, how):
    async with sites(make_server, tmp_path, how) as them:
        assert text("welcome", account="carol@example.org") in await them.register("carol")
        assert await has_account(them.server, "dave") is False
        async with await them.server.login("admin") as admin:
            link = await reset_link(admin, "bob@example.org")
        assert text("reset_done") in await them.register(None, page="reset", invite=link)


@pytest.mark.parametrize("how", ["http", *OLD_BROWSERS])
async def test_its_own_form_registers_nobody(make_server, tmp_path, how):
    async with sites(make_server, tmp_path, how) as them:
        invite = generate(them.server)
        assert text("forged") in await them.forge(invite, "mallory")
        assert not await has_account(them.server, "mallory", password=PASSWORD)
        async with await them.server.login("admin") as admin:
            link = await reset_link(admin, "bob@example.org")
        assert text("forged") in await them.forge(link, "", "reset")
        assert not await has_account(them.server, "bob", password=PASSWORD)
        assert show(them.server, invite)["uses"] == show(them.server, link)["uses"] == 0
