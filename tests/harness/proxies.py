"""The samples for nginx and Caddy in docs/web.md and docs/moving.md, as running proxies."""

import re
import subprocess
from pathlib import Path
from typing import Self

from .daemon import REPOSITORY
from .process import PATIENCE, Process, free_port, port_answers

DOCS = (REPOSITORY / "docs" / "web.md").read_text()
MOVING = (REPOSITORY / "docs" / "moving.md").read_text()


class Proxy:
    """A proxy with a sample of the docs as its configuration: for its own host name, or for a path
    of a site.

    Only its ports, files and certificate are the test's. A context manager.
    """

    address = "127.0.0.1"
    """Where it listens."""

    def __init__(self, folder: Path, path: str, upstream: str, *, name: str | None = None):
        """Describes it: its folder, the path of `public_url`, where the daemon listens, and the
        proxy's own name if that is not the one of `public_url`."""
        self.folder, self.path, self.upstream = folder, path, upstream
        self.name = name or ("example.org" if path else "invite.example.org")
        self.port, self.plain_port = free_port(), free_port()
        """For HTTPS, and for HTTP where the sample has it."""
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "7", "-subj", f"/CN={self.name}", "-addext", f"subjectAltName=DNS:{self.name}",
             "-keyout", self.key, "-out", self.certificate], check=True, capture_output=True)

    def command(self) -> list[str | Path]:
        """Writes the configuration. Returns the command that runs the proxy with it."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.process = Process(type(self).__name__, self.command(), self.folder / "output.log", folder=self.folder,
                               environment={"HOME": str(self.folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        self.process.wait_until(lambda: port_answers(self.port, self.address), PATIENCE, "answer on its port")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    @property
    def logs(self) -> str:
        """Everything that it has written to a log."""
        return "".join(file.read_text(errors="replace") for file in self.folder.rglob("*.log"))


def samples(language: str, docs: str = DOCS) -> list[str]:
    """The samples in this language."""
    return re.findall(f"```{language}\n(.*?)```", docs, re.DOTALL)


def site_with(within: str) -> str:
    """A server of nginx for example.org, with these lines."""
    server = samples("nginx")[0].partition("\n}\n")[0].partition("    location /")[0]
    server = re.sub(r"    (access_log|error_log).*\n", "", server)
    return server.replace("invite.example.org", "example.org") + within + "}\n"


class Nginx(Proxy):
    """nginx. All that the samples leave as it is, is as in Debian: nginx logs every request."""

    more = ""
    """More lines for the location."""

    def site(self) -> str:
        """The sample."""
        own_name, above, within = samples("nginx")
        return above + site_with(within) if self.path else own_name

    def command(self) -> list[str | Path]:
        site = re.sub(r"    listen \[.*\]:?.*\n", "", self.site())
        for sample, ours in {"listen 443 ssl": f"listen {self.address}:{self.port} ssl",
                             "listen 203.0.113.5:5281": f"listen {self.address}:{self.port}",
                             "127.0.0.1:5281": f"127.0.0.1:{self.port}",
                             "listen 80": f"listen 127.0.0.1:{self.plain_port}",
                             "/var/log/nginx": self.folder, "127.0.0.1:5380": self.upstream,
                             "client_max_body_size": self.more + "client_max_body_size"}.items():
            site = site.replace(sample, str(ours))
        site = re.sub(r"/etc/letsencrypt\S*/fullchain.pem", str(self.certificate), site)
        site = re.sub(r"/etc/letsencrypt\S*/privkey.pem", str(self.key), site)
        temporary = "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.folder / "nginx.conf").write_text(
            f"user root;\ndaemon off;\npid {self.folder}/nginx.pid;\nerror_log {self.folder}/main.log;\nevents {{}}\n"
            f"http {{\naccess_log {self.folder}/access.log;\n{temporary}{site}}}\n")
        return ["nginx", "-p", self.folder, "-c", self.folder / "nginx.conf"]


class Caddy(Proxy):
    """Caddy."""

    more = ""
    """More lines for the site."""

    def site(self) -> str:
        """The sample."""
        own_name, below_a_path, _ = samples("caddy")
        return below_a_path if self.path else own_name

    def command(self) -> list[str | Path]:
        top = samples("caddy")[-1]
        site = re.sub("\tbind .*\n", "", self.site()).replace("127.0.0.1:5380", self.upstream)
        site = site.replace("127.0.0.1:5281", f"127.0.0.1:{self.port}")
        tls = f"tls {self.certificate} {self.key}\n"
        ours = f"https://{self.name}:{self.port} {{\n\tbind {self.address}\n\t{tls}{self.more}"
        site = re.sub(f"^(https://)?{self.name}(:5281)? {{", ours, site)
        apart = f"admin off\n\tauto_https disable_redirects\n\tstorage file_system {self.folder}/storage"
        top = top.replace("{\n", f"{{\n\t{apart}\n", 1)
        (self.folder / "Caddyfile").write_text(top + "\n" + site)
        return ["caddy", "run", "--adapter", "caddyfile", "--config", self.folder / "Caddyfile"]


class OldNginx(Nginx):
    """nginx with the sample for old links on their own name."""

    def site(self) -> str:
        above, within, _ = samples("nginx", MOVING)
        return above + site_with(within)


class OldCaddy(Caddy):
    """Caddy with the sample for old links on their own name."""

    def site(self) -> str:
        return samples("caddy", MOVING)[0]


class NginxBesideProsody(Nginx):
    """nginx with the sample for the port of Prosody's own web server."""

    address = "127.0.0.9"

    def site(self) -> str:
        return samples("nginx", MOVING)[2]


class CaddyBesideProsody(Caddy):
    """Caddy with the sample for the port of Prosody's own web server."""

    address = "127.0.0.9"

    def site(self) -> str:
        return samples("caddy", MOVING)[1]
