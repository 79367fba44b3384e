"""The easy-invite daemon in its own folder, and its command line."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from .process import PATIENCE, Process, ProcessFailed, Service

REPOSITORY = Path(__file__).resolve().parents[2]
LOGGED_IN = "component session established"
READ_ANEW = "the configuration was read anew"
LEFT_AS_IT_WAS = "ERROR"  # the daemon logs no other errors in these tests


def binary_path() -> Path:
    """The easy-invite binary: $EASY_INVITE_BIN, else the debug build of this repository."""
    path = Path(os.environ.get("EASY_INVITE_BIN") or REPOSITORY / "target" / "debug" / "easy-invite")
    if not path.is_file():
        raise ProcessFailed(f"{path} is not there: build it (cargo build), or name another in EASY_INVITE_BIN")
    return path


def default_config(component_port: int, secret: str, *, jid: str = "invite.example.org",
                   hosts: Iterable[str] = ("example.org",)) -> dict:
    """A configuration for these VirtualHosts, with the store in the daemon's folder.
    The caller may change it."""
    return {
        "component": {"jid": jid, "server": f"127.0.0.1:{component_port}", "secret": secret},
        "store": {"url": "sqlite:easy-invite.db"},
        "hosts": {host: {"landing_page": f"https://join.{host}/#{{uri}}"} for host in hosts},
    }


def toml(config: Mapping) -> str:
    """A configuration in TOML, from nested tables, strings, numbers, booleans and lists."""
    lines: list[str] = []

    def in_toml(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)  # for these types, JSON's notation is TOML's

    def key_in_toml(key: str) -> str:
        return key if re.fullmatch("[A-Za-z0-9_-]+", key) else in_toml(key)

    def write_table(path: list[str], table: Mapping) -> None:
        if path:
            lines.append(f"\n[{'.'.join(map(key_in_toml, path))}]")
        lines.extend(f"{key_in_toml(key)} = {in_toml(value)}" for key, value in table.items()
                     if not isinstance(value, Mapping))
        for key, value in table.items():
            if isinstance(value, Mapping):
                write_table([*path, key], value)

    write_table([], config)
    return "\n".join(lines) + "\n"


class Daemon(Service):
    """One easy-invite daemon. A context manager:
    it runs within `with`, and is stopped at the end."""

    def __init__(self, folder: Path, config: Mapping | str, *, environment: Mapping[str, str] | None = None,
                 binary: Path | None = None):
        """Describes the daemon. `start` (or `with`) runs it. `environment` is added to this
        process's own, less what the tests' own variables set.

        Each daemon has its own folder. Daemons that share a store do so through `config`.
        """
        self.folder = folder.resolve()
        self.config = config
        own = {name: value for name, value in os.environ.items() if not name.startswith("EASY_INVITE_")}
        self.environment = {**own, **(environment or {})}
        self.binary = binary or binary_path()
        self.config_file = self.folder / "config.toml"
        self.log_file = self.folder / "daemon.log"
        self._log_before = 0

    @property
    def exit_code(self) -> int | None:
        """The exit code of a process that ended by itself, or None while it runs."""
        return self._process.exit_code if self._process else None

    @property
    def log(self) -> str:
        """The log of all runs in this folder so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self, *, wait: bool = True) -> None:
        """Writes the configuration and starts `easy-invite run`.
        With `wait`, returns when it is logged in."""
        if self._process is not None:
            raise RuntimeError("this daemon runs already")
        self.write_config()
        self._log_before = len(self.log)
        self._process = Process("easy-invite", [self.binary, "run", "--config", self.config_file], self.log_file,
                                folder=self.folder, environment=self.environment)
        if wait:
            self.wait_until_logged_in()

    def wait_until_logged_in(self, seconds: float = PATIENCE, *, times: int = 1) -> None:
        """Waits until this run has logged in to Prosody `times` times.
        After a lost connection, it logs in again."""
        try:
            self._process.wait_until(lambda: self.logins >= times, seconds, "login to Prosody")
        except ProcessFailed:
            self.kill()
            raise

    @property
    def logins(self) -> int:
        """How often this run has logged in to Prosody."""
        return self.log[self._log_before:].count(LOGGED_IN)

    def reload(self) -> str:
        """Writes the configuration and has the daemon read it (SIGHUP).
        Returns what the daemon has logged of that."""
        before = len(self.log)
        self.write_config()
        self._process.send_signal(signal.SIGHUP)
        said = lambda: self.log[before:]
        self._process.wait_until(lambda: READ_ANEW in said() or LEFT_AS_IT_WAS in said(), PATIENCE, "reload")
        return said()

    def wait(self, seconds: float = PATIENCE) -> int:
        """Waits until it ends by itself, and returns the exit code."""
        exit_code = self._process.wait(seconds)
        self._process = None
        return exit_code

    def cli(self, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs `easy-invite` with this daemon's configuration, whether the daemon is up or down."""
        self.write_config()
        return subprocess.run([str(self.binary), "--config", str(self.config_file), *arguments], cwd=self.folder,
                              env=self.environment, input="" if input is None else input,
                              capture_output=True, text=True, timeout=PATIENCE)

    def write_config(self) -> None:
        """Writes the configuration file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(self.config if isinstance(self.config, str) else toml(self.config))
        self.config_file.chmod(0o600)  # it holds a secret
