"""The samples for nginx and Caddy in docs/web.md work as they stand, on their own host name and
below a path. People register through them, limits count the client whatever it claims, and no log
of the proxy has the link."""

import asyncio
import re
import ssl
import subprocess

import pytest

from harness.daemon import REPOSITORY
from harness.process import Process, free_port, port_answers
from harness.stories import generate, has_account, used
from harness.web import Visitor, text, web_settings

DOCS = (REPOSITORY / "docs" / "web.md").read_text()
CLIENT = "127.0.0.9"
UNKNOWN = "A" * 24
START_SECONDS = 20

pytestmark = pytest.mark.one_setup


class Proxy:
    """A proxy with a sample of the docs as its configuration: for its own host name, or for a path
    of a site.

    Only its ports and certificate are the test's. A context manager.
    """

    def __init__(self, folder, path, upstream):
        self.folder, self.path = folder, path
        self.name = "example.org" if path else "invite.example.org"
        self.port = free_port()
        self.upstream = upstream
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "7", "-subj", f"/CN={self.name}", "-addext", f"subjectAltName=DNS:{self.name}",
             "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"], check=True, capture_output=True)

    def __enter__(self):
        self.process = Process(type(self).__name__, self.command(), self.folder / "output.log", folder=self.folder,
                               environment={"HOME": str(self.folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        self.process.wait_until(lambda: port_answers(self.port), START_SECONDS, "answer on its port")
        return self

    def __exit__(self, *_):
        self.process.stop()

    @property
    def logs(self):
        """Everything that it has written to a log."""
        return "".join(file.read_text(errors="replace") for file in self.folder.rglob("*.log"))


class Nginx(Proxy):
    def command(self):
        own_name, below_a_path = re.findall("```nginx\n(.*?)```", DOCS, re.DOTALL)
        server = own_name
        if self.path:
            server = re.sub(r"    location / \{.*?\n    \}\n", lambda _: below_a_path, own_name, flags=re.DOTALL)
            server = server.replace("invite.example.org", "example.org")
        server = re.sub(r"listen \[::\]:443 ssl;", "", server)
        server = server.replace("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;")
        server = re.sub(r"/etc/letsencrypt\S*/fullchain.pem", str(self.folder / "certificate.pem"), server)
        server = re.sub(r"/etc/letsencrypt\S*/privkey.pem", str(self.folder / "key.pem"), server)
        server = server.replace("/var/log/nginx/error.log", str(self.folder / "error.log"))
        server = server.replace("127.0.0.1:5380", self.upstream)
        temporary = "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        # The rest is as in Debian: everything is logged, unless the sample turns that off.
        (self.folder / "nginx.conf").write_text(
            f"user root;\ndaemon off;\npid {self.folder}/nginx.pid;\nerror_log {self.folder}/main.log;\nevents {{}}\n"
            f"http {{\naccess_log {self.folder}/access.log;\n{temporary}{server}}}\n")
        return ["nginx", "-p", self.folder, "-c", self.folder / "nginx.conf"]


class Caddy(Proxy):
    def command(self):
        own_name, below_a_path, top = re.findall("```caddy\n(.*?)```", DOCS, re.DOTALL)
        site = (below_a_path if self.path else own_name).replace("127.0.0.1:5380", self.upstream)
        site = site.replace(f"{self.name} {{", f"https://{self.name}:{self.port} {{\n\tbind 127.0.0.1\n\t"
                            f"tls {self.folder}/certificate.pem {self.folder}/key.pem", 1)
        apart = f"admin off\n\tauto_https disable_redirects\n\tstorage file_system {self.folder}/storage"
        top = top.replace("{\n", f"{{\n\t{apart}\n", 1)
        (self.folder / "Caddyfile").write_text(top + "\n" + site)
        return ["caddy", "run", "--adapter", "caddyfile", "--config", self.folder / "Caddyfile"]


class Newcomer(Visitor):
    """A visitor through a proxy."""

    def __init__(self, server, proxy):
        forged = {"X-Forwarded-For": "203.0.113.1", "Forwarded": "for=203.0.113.2"}
        super().__init__(server, CLIENT, {"Host": proxy.name, **forged}, proxy.port)
        self.proxy = proxy

    async def connect(self):
        trusting = ssl.create_default_context(cafile=self.proxy.folder / "certificate.pem")
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
