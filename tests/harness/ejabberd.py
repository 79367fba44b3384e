"""A throw-away ejabberd 26 with its mod_invites, in its own folder and on free ports of 127.0.0.1.

It comes from the folder that `scripts/ejabberd-26` makes, and runs as Prosody 13 does
(harness/prosody.py).
"""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.request import Request, urlopen

from .debian import command_in, ejabberd_26
from .process import PATIENCE, Process, ProcessFailed, Service, free_port, port_answers
from .xmpp import Client


def schema(name: str) -> str:
    """The tables of its SQL database, from one of its files."""
    return (ejabberd_26() / "usr/share/ejabberd/sql" / name).read_text()


class Ejabberd(Service):
    """One throw-away ejabberd. A context manager: it runs within `with`, and is stopped at the end.

    All users may make invites that register an account. `admin@` the first host is an admin.
    """

    def __init__(self, folder: Path, *, hosts: Iterable[str] = ("example.org", "other.example"),
                 database: Mapping[str, object] | None = None,
                 environment: Mapping[str, str] | None = None):
        """Describes the server. `start` (or `with`) writes its configuration and runs it.

        - `hosts`: its virtual hosts.
        - `database`: options for the SQL database in which its invites are. Default: Mnesia.
        - `environment`: more environment variables, such as TZ.
        """
        self.folder = folder.resolve()
        self.hosts = tuple(hosts)
        self.database = dict(database or {})
        self.c2s_port = free_port()
        self.http_port = free_port()
        self._control_port = free_port()
        self._root = ejabberd_26()
        home = self.folder / "home"
        self._environment = {**os.environ, "HOME": str(home), **(environment or {})}
        for part in (home, self.folder / "spool", self.folder / "logs"):
            part.mkdir(parents=True, exist_ok=True)

    @property
    def spool(self) -> Path:
        """The folder with its data."""
        return self.folder / "spool"

    def start(self) -> None:
        """Writes the configuration and starts. Returns when clients are answered."""
        self._write_config()
        self._process = Process("ejabberd", self._command("foreground"), self.folder / "ejabberd.out",
                                environment=self._environment)
        ports = (self.c2s_port, self.http_port)
        self._process.wait_until(lambda: all(map(port_answers, ports)), PATIENCE, "answer on its ports")

    def ctl(self, *words: str) -> str:
        """Runs ejabberdctl, and returns what it prints."""
        done = subprocess.run(self._command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=2 * PATIENCE, env=self._environment)
        if done.returncode != 0:
            raise ProcessFailed(f"ejabberdctl {' '.join(words)} ended with {done.returncode}\n"
                                f"{done.stdout}{done.stderr}")
        return done.stdout

    def api(self, command: str, **arguments: str) -> str:
        """Calls a command of the HTTP API, and returns the answer's text."""
        request = Request(f"http://127.0.0.1:{self.http_port}/api/{command}", json.dumps(arguments).encode())
        with urlopen(request) as answer:
            return answer.read().decode()

    def adduser(self, jid: str, password: str) -> None:
        """Creates an account."""
        username, host = jid.split("@")
        self.api("register", user=username, host=host, password=password)

    async def connect(self, domain: str | None = None) -> Client:
        """A client's stream that has not logged in."""
        return await Client.connect("127.0.0.1", self.c2s_port, domain or self.hosts[0], tls=False)

    def _command(self, *words: str) -> list[str | Path]:
        folders = ["--config", self.folder / "ejabberd.yml", "--ctl-config", self.folder / "ejabberdctl.cfg",
                   "--config-dir", self.folder, "--logs", self.folder / "logs", "--spool", self.spool]
        return command_in(self._root, self.folder / "ejabberdctl", *folders, *words)

    def _write_config(self) -> None:
        # As the user of the tests, and as one process.
        script = (self._root / "usr/sbin/ejabberdctl").read_text()
        script = re.sub(r"(?m)^INSTALLUSER=.*$", "INSTALLUSER=", script)
        script = re.sub(r'(?m)^ +"\$@"$', 'exec "$@"', script)
        (self.folder / "ejabberdctl").write_text(script)
        (self.folder / "ejabberdctl").chmod(0o755)
        (self.folder / "inetrc").write_text('{lookup, ["file"]}.\n{host, {127,0,0,1}, ["localhost"]}.\n')
        # Its programs find each other without a further daemon, epmd.
        (self.folder / "ejabberdctl.cfg").write_text(
            f"ERL_DIST_PORT={self._control_port}\nINET_DIST_INTERFACE=127.0.0.1\nERLANG_NODE=ejabberd@localhost\n")
        listener = {"ip": "127.0.0.1"}
        config = {
            "hosts": self.hosts,
            **self.database,
            "listen": [
                {**listener, "port": self.c2s_port, "module": "ejabberd_c2s", "starttls": False},
                {**listener, "port": self.http_port, "module": "ejabberd_http",
                 "request_handlers": {"/invites": "mod_invites", "/api": "mod_http_api"}},
            ],
            "acl": {"admin": {"user": [f"admin@{self.hosts[0]}"]}, "local": {"user_regexp": ""},
                    "here": {"ip": ["127.0.0.0/8"]}},
            "access_rules": {"of_users": {"allow": "local"}, "register": {"allow": "all"}},
            "api_permissions": {
                "console": {"from": "ejabberd_ctl", "who": "all", "what": "*"},
                "http": {"from": "mod_http_api", "who": {"access": {"allow": [{"acl": "here"}]}}, "what": "*"},
            },
            "registration_timeout": "infinity",
            "modules": {
                "mod_adhoc": {}, "mod_disco": {}, "mod_roster": {}, "mod_http_api": {},
                "mod_register": {"allow_modules": ["mod_invites"]},
                "mod_invites": {"access_create_account": "of_users", "landing_page": "auto",
                                "db_type": "sql" if self.database else "mnesia"},
            },
        }
        (self.folder / "ejabberd.yml").write_text(json.dumps(config))  # JSON is YAML
