"""The samples for nginx and Caddy in docs/moving.md answer old links as they stand: on the old
name, and on the port where Prosody's own web server still listens for everything else. Somebody who
opens an old link registers at the public address, and no log has the link."""

import asyncio
import contextlib
import ssl

import pytest

from harness.proxies import Caddy, CaddyBesideProsody, Nginx, NginxBesideProsody, OldCaddy, OldNginx
from harness.server import Server
from harness.stories import generate, has_account, used
from harness.web import Visitor, text, web_settings

ALSO = ["/invites_page", "/register"]
LINKS = ["/invites_page?{}", "/invites_page/setup/conversations?{}", "/register?t={}&c=conversations",
         "//invites_page?{}.", "/invites_page%3F{}", "/%69nvites_page/?{}&utm_source=newsletter", "/register?t={};c=x"]


class Through(Visitor):
    """A visitor through a proxy."""

    def __init__(self, server, proxy, source):
        super().__init__(server, source, {"Host": f"{proxy.name}:{proxy.port}"}, proxy.port)
        self.proxy = proxy

    async def connect(self):
        trusting = ssl.create_default_context(cafile=self.proxy.certificate)
        return await asyncio.open_connection(self.proxy.address, self.port, local_addr=(self.source, 0), ssl=trusting,
                                             server_hostname=self.proxy.name)


@pytest.fixture(scope="module")
def server(prosody_version, store_url, tmp_path_factory):
    settings = web_settings(public_url="https://invite.example.org", also=ALSO)
    with Server(prosody_version, tmp_path_factory.mktemp("server"), store_url=store_url(), settings=settings, tls=True,
                http=True, https=True) as running:
        yield running


@pytest.mark.parametrize("old, new", [(OldNginx, Nginx), (OldCaddy, Caddy)], ids=["nginx", "caddy"])
async def test_on_the_old_name(server, tmp_path, old, new):
    async with old_link_registers(server, tmp_path, old, new):
        pass


@pytest.mark.parametrize("old, new", [(NginxBesideProsody, Nginx), (CaddyBesideProsody, Caddy)], ids=["nginx", "caddy"])
async def test_on_prosodys_port(server, tmp_path, old, new):
    async with old_link_registers(server, tmp_path, old, new, server.prosody.https_port) as visitor:
        assert "It works!" in (await visitor.get("/http-bind")).body, "BOSH is Prosody's still"
        reader, writer = await visitor.connect()
        writer.write(b"GET /xmpp-websocket HTTP/1.1\r\nHost: example.org\r\n"
                     b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
                     b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                     b"Sec-WebSocket-Protocol: xmpp\r\n\r\n")
        assert b" 101 " in await reader.readline(), "and so are WebSockets"
        writer.transport.abort()


@contextlib.asynccontextmanager
async def old_link_registers(server, folder, old, new, port=None):
    """Somebody opens an old link and registers. A visitor of the old address, where the proxy still
    runs."""
    number = [OldNginx, OldCaddy, NginxBesideProsody, CaddyBesideProsody].index(old)
    source, elsewhere = f"127.0.1.{number}", f"127.0.2.{number}"
    upstream = server.daemon.config["web"]["listen"]
    for name in ("old", "new"):
        (folder / name).mkdir()
    before = old(folder / "old", "", upstream, name="example.org")
    before.port = port or before.port
    invite, visitor = generate(server, "--contact", "alice@example.org"), Through(server, before, source)
    with before, new(folder / "new", "", upstream) as after:
        for link in (link.format(invite.token) for link in LINKS):
            for ask in (visitor.get, visitor.head):
                page = await ask(link)
                assert (page.status, page.header("Link")) == (200, f'<{invite.uri}>; rel="alternate"'), link
        shown = await visitor.get(LINKS[0].format(invite.token))
        assert shown.heading == text("invited_by", inviter="alice@example.org")
        assert f"https://invite.example.org/i/{invite.token}" in shown.text
        username = f"user-{number}"
        welcome = await Through(server, after, source).register(invite, username)
        assert welcome.heading == text("welcome", account=f"{username}@example.org")
        await used(server, invite)
        assert await has_account(server, username)
        assert (await visitor.get(LINKS[0].format(invite.token))).status == 410
        for guess in range(21):
            refused = await visitor.get(f"/invites_page?{guess:024}")
        assert refused.status == 429
        other = Through(server, before, elsewhere)
        assert (await other.get(LINKS[0].format(invite.token))).status == 410, "the limits are each visitor's own"
        yield other
    assert invite.token not in before.logs + after.logs and "0" * 22 not in before.logs
