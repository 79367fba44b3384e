"""The servers that are measured, and the load on them."""

import json
import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.daemon import Daemon, binary_path, default_config
from harness.postgres import Pair, Postgres
from harness.process import Holdings, Process, free_port
from harness.prosody import COMPONENT_SECRET, USUAL_MODULES, Prosody, lua

HERE = Path(__file__).resolve().parent
HOST = "example.org"
COMPONENT = "invite.example.org"
USERS = 32
"""As many as benches/load.rs logs in: the hook limits one user to eight commands in flight."""
INVITERS = 4
"""The users who made the waiting invites."""
PASSWORD = "a password for a benchmark"
NO_INVITES = """\
    allow_registration = false
    modules_enabled = { "bench" }
"""
OPEN_TO_ALL = """\
    allow_registration = true
    modules_enabled = { "bench" }
"""
OUR_INVITES = """\
    allow_registration = true
    modules_enabled = { "easy_invite", "bench" }
"""
OWN_INVITES = """\
    allow_registration = true
    registration_invite_only = true
    allow_user_invites = true
    modules_enabled = { "invites", "invites_adhoc", "invites_register", "bench" }
"""
UNLIMITED = {"limits": {"registrations": "unlimited", "wrong_tokens": "unlimited"}}
FILL_SECONDS = 3600
RUN_SECONDS = 600
TICKS = os.sysconf("SC_CLK_TCK")


def prosody(version: str, folder: Path, host_lines: str, *, storage: str = "internal", waiting: int = 0) -> Prosody:
    """A Prosody with the usual log level, but without a limit on clients' speed.

    In it wait so many of Prosody's own invites.
    """
    settings = {"bench_users": USERS, "bench_password": PASSWORD, "bench_waiting": waiting}
    lines = [f"{name} = {lua(value)}" for name, value in settings.items()]
    server = Prosody(
        version, folder, hosts={HOST: host_lines}, components={COMPONENT: COMPONENT_SECRET},
        storage=storage, log_level="info", modules=[module for module in USUAL_MODULES if module != "limits"],
        plugin_folders=[HERE / "prosody"], global_lines="\n".join(lines))
    server.start_seconds = FILL_SECONDS
    return server


def daemon(folder: Path, component_port: int, store_url: str, *, users_are_admins: bool = False) -> Daemon:
    """A daemon whose users may make any number of invites."""
    config = default_config(component_port, COMPONENT_SECRET, jid=COMPONENT, hosts=[HOST])
    config["store"]["url"] = store_url
    admins = [f"user-{number}@{HOST}" for number in range(USERS)] if users_are_admins else []
    config["hosts"][HOST] |= {"invites_per_day": "unlimited", "pending_invites": "unlimited", "admins": admins}
    return Daemon(folder, config | UNLIMITED)


def fill(program: Daemon, waiting: int) -> None:
    """Makes invites by the command line until so many wait, and shows its progress.
    A filled store is left alone."""
    program.write_config()
    for number in range(INVITERS):
        share = waiting // INVITERS
        marker = program.folder / f"filled-{number}-{share}"
        if share == 0 or marker.exists():
            continue
        command = [str(program.binary), "--config", str(program.config_file), "generate", HOST, "--contact",
                   f"user-{number}@{HOST}", "--count", str(share), "--expires", "52w"]
        subprocess.run(command, cwd=program.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
                       timeout=FILL_SECONDS)
        marker.touch()


def copy_store(source: str, target: str) -> None:
    """Copies a store into another by the command line, and shows its progress."""
    subprocess.run([binary_path(), "migrate-store", source, target], stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, check=True, timeout=FILL_SECONDS)


class Load:
    """benches/load.rs: the clients, and the servers and components to compare with."""

    def __init__(self, binary: Path, folder: Path):
        """The program, and a folder for its files."""
        self._binary = binary
        self._folder = folder

    def command(self, what: str, port: int, **options: object) -> list[str]:
        """The command line for clients that do `what`."""
        words = [str(self._binary), "run", what, "--server", f"127.0.0.1:{port}"]
        for name, value in options.items():
            if value is not None:
                words += [f"--{name.replace('_', '-')}", str(value)]
        return words

    def run(self, what: str, port: int, **options: object) -> dict:
        """Lets clients do `what` on the server at this port. Returns their measurement."""
        return self._measured(self.command(what, port, **options))

    def in_store(self, what: str, url: str, **options: object) -> dict:
        """Lets daemons do `what` in a store. Returns their measurement."""
        words = [f"--{name}={value}" for name, value in options.items()]
        return self._measured([str(self._binary), "store", what, url, *words])

    def _measured(self, command: list[str]) -> dict:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_SECONDS)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command[1:3])} failed: {done.stderr}")
        return json.loads(done.stdout)

    @contextmanager
    def beside(self, *words: str) -> Iterator[Process]:
        """Runs the program in the background, from when it is ready to the end of `with`."""
        output = self._folder / f"load-{words[0]}-{time.monotonic_ns()}.log"
        process = Process(f"load {words[0]}", [self._binary, *words], output)
        try:
            process.wait_until(lambda: "ready" in process.log, 20, "ready")
            yield process
        finally:
            process.kill()

    def nothing(self, server: Prosody):
        """A component that answers at once and stores nothing, connected to the server."""
        secret = self._folder / "secret"
        secret.write_text(COMPONENT_SECRET)
        return self.beside("nothing", f"127.0.0.1:{server.component_port}", COMPONENT, str(secret))


@dataclass
class Side:
    """One side of a comparison: a server, and the daemon for its invites if there is one."""

    name: str
    server: Prosody
    program: Daemon | None = None
    to: str | None = None
    """The address for commands, if not the host."""
    tokens: Path | None = None
    """The tokens to present or redeem."""


def busy(pids: Iterable[int]) -> list[float]:
    """The processor time of each process so far, in seconds."""
    taken = []
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        taken.append((int(fields[11]) + int(fields[12])) / TICKS)
    return taken


def measure(load: Load, side: Side, what: str, **options: object) -> dict:
    """One measurement, with the share of a processor that each part took."""
    parts = {"prosody": side.server.pid} | ({"easy-invite": side.program.pid} if side.program else {})
    before, since = busy(parts.values()), time.monotonic()
    try:
        result = load.run(what, side.server.c2s_port, to=side.to, tokens=side.tokens, **options)
    except RuntimeError as error:
        told = (side.program or side.server).log.splitlines()
        raise RuntimeError("\n".join([f"{error}", f"The end of the log of {side.name}:", *told[-20:]])) from error
    elapsed = time.monotonic() - since
    for name, first, last in zip(parts, before, busy(parts.values())):
        result[f"{name}_busy"] = (last - first) / elapsed
    return result


def megabytes(pid: int) -> float:
    """The resident memory of a process in MiB."""
    return Holdings.of(pid).memory / 1024


__all__ = ["COMPONENT", "HOST", "Load", "NO_INVITES", "OPEN_TO_ALL", "OUR_INVITES", "OWN_INVITES", "Pair",
           "Postgres", "RUN_SECONDS", "Side", "copy_store", "daemon", "fill", "free_port", "measure", "megabytes",
           "prosody"]
