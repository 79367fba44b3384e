"""The samples for nginx and Caddy in docs/web.md work as they stand, on their own host name and
below a path. People register through them, limits count the client whatever it claims, and no log
of the proxy has the link."""

import asyncio
import ssl

import pytest

from harness.proxies import Caddy, Nginx
from harness.stories import generate, has_account, used
from harness.web import Visitor, text, web_settings

CLIENT = "127.0.0.9"
UNKNOWN = "A" * 24

pytestmark = pytest.mark.one_setup


class Newcomer(Visitor):
    """A visitor through a proxy."""

    def __init__(self, server, proxy):
        forged = {"X-Forwarded-For": "203.0.113.1", "Forwarded": "for=203.0.113.2"}
        super().__init__(server, CLIENT, {"Host": proxy.name, **forged}, proxy.port)
        self.proxy = proxy

    async def connect(self):
        trusting = ssl.create_default_context(cafile=self.proxy.certificate)
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(self.source, 0), ssl=trusting,
                                             server_hostname=self.proxy.name)


@pytest.mark.parametrize("path", ["", "/join"], ids=["own-name", "below-a-path"])
@pytest.mark.parametrize("kind", [Nginx, Caddy], ids=["nginx", "caddy"])
async def test_people_register_through_them(make_server, tmp_path, kind, path):
    public_url = f"https://{'example.org' if path else 'invite.example.org'}{path}"
    server = make_server(settings=web_settings(public_url=public_url))
    with kind(tmp_path, path, server.daemon.config["web"]["listen"]) as proxy:
        invite, newcomer = generate(server, "--contact", "alice@example.org"), Newcomer(server, proxy)
        landing = await newcomer.get(newcomer.path(invite))
        assert (landing.status, landing.heading) == (200, text("invited_by", inviter="alice@example.org"))
        assert landing.header("Link") == f'<{invite.uri}>; rel="alternate"'
        assert landing.header("Content-Security-Policy") and landing.header("Cache-Control") == "no-store"
        head = await newcomer.head(newcomer.path(invite))
        assert (head.status, head.header("Link")) == (200, landing.header("Link"))
        welcome = await newcomer.register(invite, "carol")
        assert (welcome.status, welcome.heading) == (200, text("welcome", account="carol@example.org"))
        await used(server, invite)
        assert await has_account(server, "carol")
        too_long = await newcomer.post(newcomer.path(invite, "register"), b"x" * 10_000)
        assert (too_long.status, too_long.heading) == (413, text("too_large"))

        server.daemon.stop()
        assert (await newcomer.get(newcomer.path(invite))).status == 502
        server.daemon.start()

        for _ in range(20):
            await newcomer.get(newcomer.path(UNKNOWN))
        refused = await newcomer.get(newcomer.path(invite))
        assert (refused.status, refused.heading) == (429, text("too_many"))
        told = [line.partition("WARN ")[2] for line in server.daemon.log.splitlines() if "too many unknown" in line]
        assert told == [f"too many unknown invitations from {CLIENT}: refused for 10 minutes"]
        newcomer.source = "127.0.0.10"
        assert (await newcomer.get(newcomer.path(invite))).status == 410
    assert invite.token not in proxy.logs and UNKNOWN not in proxy.logs
