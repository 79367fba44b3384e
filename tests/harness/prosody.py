"""A throw-away Prosody, 0.12 or 13 (or 0.11, which is too old), in its own folder and on free ports of 127.0.0.1.

It shares no configuration, data, certificates, ports or sockets with a Prosody of the machine.

0.12 is Debian 12's version. "installed" is the machine's own, whichever it is. 13 comes from the
folder that `scripts/debian-13` makes. Its /usr and /etc are mounted over the machine's for that
one process (in a private mount namespace), so all other paths stay the same, and nothing stays
mounted. 0.11 comes from a root of Debian 11 in the same way.
"""

import os
import re
import socket
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from .debian import command_in, debian_11, debian_13
from .process import PATIENCE, Process, ProcessFailed, Service, free_port, port_answers

REPOSITORY = Path(__file__).resolve().parents[2]
TEST_MODULES = Path(__file__).resolve().parent / "prosody_modules"
VERSIONS = ("0.12", "13")
INSTALLED = "installed"
TOO_OLD = "0.11"

COMPONENT_SECRET = "a secret that only these two know"
INVITE_HOST = """\
    allow_registration = true
    modules_enabled = { "easy_invite" }
"""

# What Debian's /etc/prosody/prosody.cfg.lua enables in both versions, except Prosody's own invites
# modules, `posix` (useless in the foreground) and `dialback` (useless without s2s).
USUAL_MODULES = (
    "disco", "roster", "saslauth", "tls",
    "blocklist", "bookmarks", "carbons", "limits", "pep", "private", "smacks", "vcard4", "vcard_legacy",
    "csi_simple", "ping", "register", "time", "uptime", "version",
    "admin_adhoc", "admin_shell",
)

# A path to a Unix socket must fit 108 bytes.
LONGEST_SOCKET_PATH = 107


def lua(value: str | int | bool | Path | Iterable[str]) -> str:
    """A value in Lua's notation. An iterable becomes a table of strings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (str, Path)):
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return "{ " + "; ".join(lua(item) for item in value) + " }"


def _text_of(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""


class Prosody(Service):
    """One throw-away Prosody. A context manager: it runs within `with`, and is stopped at the end.

    It always has `c2s_port` and `component_port`. `s2s_port` and `http_port` are None unless asked
    for. It must answer within `start_seconds`.
    """

    def __init__(self, version: str, folder: Path, *,
                 hosts: Mapping[str, str] | None = None,
                 components: Mapping[str, str] | None = None,
                 admins: Iterable[str] = (),
                 tls: bool = False,
                 s2s: bool = False,
                 http: bool = False,
                 https: bool = False,
                 storage: str = "internal",
                 log_level: str = "debug",
                 modules: Iterable[str] = USUAL_MODULES,
                 plugin_folders: Iterable[Path] = (),
                 module_folder: Path = REPOSITORY / "prosody",
                 global_lines: str = "",
                 last_lines: str = "",
                 environment: Mapping[str, str] | None = None):
        """Describes the server. `start` (or `with`) writes its configuration and runs it.

        - `version`: one of VERSIONS, INSTALLED, or TOO_OLD.
        - `hosts`: each VirtualHost and the Lua lines below it. Default: example.org with
          mod_easy_invite.
        - `components`: each external component's JID and secret. Default: invite.example.org.
        - `admins`: bare JIDs for Prosody's own `admins`.
        - `tls`: clients must encrypt, with a self-signed certificate. Otherwise passwords travel in
          the clear.
        - `s2s`, `http`, `https`: open these ports, too (HTTP with BOSH and WebSocket).
        - `storage`: "internal" (files), "sql" (SQLite), or the URL of a PostgreSQL database.
        - `log_level`: the lowest level in the log.
        - `modules`: the global `modules_enabled`.
        - `plugin_folders`: more folders with modules, besides Prosody's, TEST_MODULES and
          `module_folder`.
        - `module_folder`: where mod_easy_invite is. Default: in this repository.
        - `global_lines`: more Lua before the first host, with options that are not set here.
        - `last_lines`: more Lua at the end, such as a `Component "rooms.example.org" "muc"`.
        - `environment`: more environment variables for the server.
        """
        if version not in (*VERSIONS, INSTALLED, TOO_OLD):
            raise ValueError(f"Prosody {version}: this harness knows {', '.join((*VERSIONS, INSTALLED, TOO_OLD))}")
        self.version = version
        self.folder = folder.resolve()
        self.hosts = dict({"example.org": INVITE_HOST} if hosts is None else hosts)
        self.components = dict({"invite.example.org": COMPONENT_SECRET} if components is None else components)
        self.admins = list(admins)
        self.tls = tls
        self.start_seconds: float = PATIENCE
        self.storage = storage
        self.log_level = log_level
        self.modules = list(modules)
        self.plugin_folders = [module_folder, TEST_MODULES, *plugin_folders]
        self.global_lines = global_lines
        self.last_lines = last_lines
        self.environment = {**os.environ, **(environment or {})}
        self.c2s_port = free_port()
        self.component_port = free_port()
        self.s2s_port = free_port() if s2s else None
        self.http_port = free_port() if http else None
        self.https_port = free_port() if https else None
        self.config_file = self.folder / "prosody.cfg.lua"
        self.data_folder = self.folder / "data"
        self.log_file = self.folder / "prosody.log"
        self.output_file = self.folder / "prosody.out"
        self._root = debian_13() if version == "13" else debian_11() if version == TOO_OLD else None

    @property
    def log(self) -> str:
        """The log so far, and everything written to stdout and stderr."""
        return _text_of(self.log_file) + _text_of(self.output_file)

    def start(self) -> None:
        """Writes the configuration and starts. Returns when clients and components are answered."""
        if self._process is not None:
            raise RuntimeError("this Prosody runs already")
        self.write_config()
        command = self.command("prosody", "--config", self.config_file, "-F")
        self._process = Process(f"Prosody ({self.version})", command, self.output_file,
                                environment=self.environment)
        try:
            self._process.wait_until(self._answers, self.start_seconds, "answer on its ports")
            if self.version != INSTALLED and f"Prosody version {self.version}." not in self.log:
                raise ProcessFailed(f"this is not Prosody {self.version}")
        except ProcessFailed as failure:
            self.kill()
            raise ProcessFailed(f"{failure}\n{_text_of(self.log_file)}") from None

    def prosodyctl(self, *arguments: str) -> tuple[int, str, str]:
        """Runs prosodyctl with this server's configuration.
        Returns its exit code, stdout and stderr."""
        self.write_config()
        done = subprocess.run(
            [str(word) for word in self.command("prosodyctl", "--config", self.config_file, *arguments)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
        return done.returncode, done.stdout, done.stderr

    def adduser(self, jid: str, password: str) -> None:
        """Creates an account, as `prosodyctl register` does."""
        username, host = jid.split("@")
        code, output, errors = self.prosodyctl("register", username, host, password)
        if code != 0:
            raise ProcessFailed(f"prosodyctl register {jid} ended with {code}\n{output}{errors}")

    def deluser(self, jid: str) -> None:
        """Deletes an account through the running server, as `prosodyctl shell` does."""
        self.shell(f"user:delete({lua(jid)})")

    def unregister(self, jid: str) -> None:
        """Deletes an account on the disk, as `prosodyctl unregister` does. A
        running server hears nothing of it."""
        code, output, errors = self.prosodyctl("unregister", *jid.split("@"))
        if code != 0:
            raise ProcessFailed(f"prosodyctl unregister {jid} ended with {code}\n{output}{errors}")

    def shell(self, command: str) -> str:
        """Runs a line in the running server's console
        (`prosodyctl shell`), and returns its output."""
        code, output, errors = self.prosodyctl("shell", command)
        if code != 0:
            raise ProcessFailed(f"prosodyctl shell {command} ended with {code}\n{output}{errors}")
        return output

    def write_config(self) -> None:
        """Writes the configuration file, and the certificate if clients must encrypt."""
        self.data_folder.mkdir(parents=True, exist_ok=True)
        if len(os.fsencode(self.data_folder / "prosody.sock")) > LONGEST_SOCKET_PATH:
            raise ValueError(f"{self.folder} is too long a path for Prosody's socket")
        (self.folder / "certs").mkdir(exist_ok=True)
        if self.tls:
            self._make_certificate()
        self.config_file.write_text(self._config())

    def command(self, *words: str | Path) -> list[str | Path]:
        """A command of /usr/bin, as the Debian of this Prosody has it."""
        if self._root is None:
            return [f"/usr/bin/{words[0]}", *words[1:]]
        return command_in(self._root, f"/usr/bin/{words[0]}", *words[1:])

    def _answers(self) -> bool:
        """Whether the server itself answers a client, and not only the kernel.
        Its other ports must be open, too."""
        try:
            with socket.create_connection(("127.0.0.1", self.c2s_port), 1) as connection:
                connection.sendall(
                    f"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
                    f"to='{next(iter(self.hosts))}' version='1.0'>".encode())
                if not connection.recv(1):
                    return False
        except OSError:
            return False
        others = (self.component_port, self.s2s_port, self.http_port, self.https_port)
        return all(port_answers(port) for port in others if port is not None)

    def _make_certificate(self) -> None:
        folder = self.folder / "certs"
        if (folder / "server.crt").exists():
            return
        names = ",".join(f"DNS:{name}" for name in (*self.hosts, *self.components))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "7", "-subj", f"/CN={next(iter(self.hosts))}", "-addext", f"subjectAltName={names}",
             "-keyout", folder / "server.key", "-out", folder / "server.crt"],
            check=True, capture_output=True)

    def _config(self) -> str:
        modules = [module for module in self.modules if self.tls or module != "tls"]
        disabled = []
        if self.s2s_port is None:
            disabled.append("s2s")
        else:
            modules.append("dialback")
        if self.http_port is not None:
            modules += ["bosh", "websocket"]
        interface = lua(["127.0.0.1"])
        settings: dict[str, object] = {
            "run_as_root": True,
            "pidfile": self.folder / "prosody.pid",
            "data_path": self.data_folder,
            "certificates": self.folder / "certs",
            "plugin_paths": map(str, self.plugin_folders),
            "modules_enabled": modules,
            "modules_disabled": disabled,
            "admins": self.admins,
            "authentication": "internal_hashed",
            "default_storage": "internal" if self.storage == "internal" else "sql",
            "c2s_require_encryption": self.tls,
            "allow_unencrypted_plain_auth": not self.tls,
        }
        lines = [f"{name} = {lua(value)}" for name, value in settings.items()]
        ports = {"c2s": self.c2s_port, "component": self.component_port, "s2s": self.s2s_port, "http": self.http_port,
                 "https": self.https_port}
        for service, port in ports.items():
            lines.append(f"{service}_ports = {{ {'' if port is None else port} }}")
            lines.append(f"{service}_interfaces = {interface}")
        for service in ("c2s_direct_tls", "s2s_direct_tls"):
            lines.append(f"{service}_ports = {{ }}")
        lines.append(f"log = {{ {self.log_level} = {lua(self.log_file)} }}")
        if self.storage == "sql":
            lines.append(f"sql = {{ driver = 'SQLite3'; database = {lua(self.data_folder / 'prosody.sqlite')} }}")
        elif self.storage != "internal":
            url = urlsplit(self.storage)
            lines.append(f"sql = {{ driver = 'PostgreSQL'; database = {lua(url.path[1:])}; host = {lua(url.hostname)}; "
                         f"port = {url.port}; username = {lua(url.username)} }}")
        if self.tls:
            lines.append(f"ssl = {{ certificate = {lua(self.folder / 'certs' / 'server.crt')}; "
                         f"key = {lua(self.folder / 'certs' / 'server.key')} }}")
        lines.append(self.global_lines)
        names = re.findall(r"^(\w+) =", "\n".join(lines), re.MULTILINE)
        if twice := {name for name in names if names.count(name) > 1}:
            # Prosody itself halts, or not: that hangs on how long the name of its file is.
            raise ValueError(f"options that are set twice: {', '.join(sorted(twice))}")
        for host, host_lines in self.hosts.items():
            lines += [f"\nVirtualHost {lua(host)}", host_lines]
        for jid, secret in self.components.items():
            lines += [f"\nComponent {lua(jid)}", f"    component_secret = {lua(secret)}"]
        lines.append(self.last_lines)
        return "\n".join(lines) + "\n"
