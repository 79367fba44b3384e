"""A throw-away PostgreSQL in a folder of its own and on a free port of 127.0.0.1, and databases in it.

The programs are those that Debian's package `postgresql` installs. The machine's own server is not touched.
"""

import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from .process import Process, ProcessFailed, Service, free_port

START_SECONDS = 60
# After a crash it would sync each file of each database by itself before it answers: thousands, where many tests have theirs.
SETTINGS = {"listen_addresses": "127.0.0.1", "max_connections": 200, "shared_buffers": "32MB", "log_line_prefix": "%d ",
            "recovery_init_sync_method": "syncfs"}


class Postgres(Service):
    """One throw-away PostgreSQL server. A context manager: it runs within `with`, and is stopped at the end."""

    def __init__(self, folder: Path):
        """Describes the server; `start` (or `with`) makes it and runs it. Others must be able to look into the folder."""
        self.folder = folder.resolve()
        self.port = free_port()
        self.log_file = self.folder / "postgres.log"
        self._data = self.folder / "data"
        self._databases = itertools.count(1)
        self._process: Process | None = None

    def __enter__(self) -> "Postgres":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """What the server has written so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self) -> None:
        """Makes the cluster, the first time, and runs the server; returns when it answers."""
        if not self._data.exists():
            self._make()
        command = [_program("postgres"), "-D", self._data, "-p", str(self.port), "-k", self.folder]
        for key, value in SETTINGS.items():
            command += ["-c", f"{key}={value}"]
        self._process = Process("PostgreSQL", _as_owner(command), self.log_file, folder=self.folder)
        self._process.wait_until(self._answers, START_SECONDS, "answer on its port")

    def stop(self) -> int | None:
        """Ends it as an operator does who cannot wait ("fast": connections are ended), and returns the exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(signal.SIGINT)
        return process.wait()

    def kill(self) -> None:
        """Ends all its processes as a crash of the machine does (SIGKILL). Returns when none is left, so that it can start."""
        super().kill()
        while self._signal_all(signal.SIGKILL):
            time.sleep(0.01)

    def pause(self) -> None:
        """Makes it hang (SIGSTOP) until `resume`."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on after `pause`."""
        self._signal_all(signal.SIGCONT)

    def create_database(self) -> str:
        """Makes an empty database and returns its URL, as `store.url` takes it."""
        name = f"invites_{os.getpid()}_{next(self._databases)}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._url(name)

    def end_connections(self) -> int:
        """Ends every connection to the databases that were made here, and returns how many there were."""
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            ended = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname LIKE 'invites_%'")
            return ended.fetchone()[0]

    def _url(self, database: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def _make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        command = [_program("initdb"), "--pgdata", self._data, "--username", "postgres", "--auth", "trust",
                   "--encoding", "UTF8", "--no-locale", "--no-sync"]
        made = subprocess.run([str(word) for word in _as_owner(command)], cwd=self.folder, capture_output=True, text=True)
        if made.returncode != 0:
            raise ProcessFailed(f"initdb ended with {made.returncode}\n{made.stdout}{made.stderr}")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._url("postgres"), connect_timeout=2).close()
            return True
        except psycopg.OperationalError:
            return False

    def _signal_all(self, number: signal.Signals) -> int:
        """To the server and the processes that it has started, each in a session of its own; returns how many there are."""
        signalled = 0
        for folder in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if folder.readlink() == self._data:
                    os.kill(int(folder.parent.name), number)
                    signalled += 1
            except OSError:  # it has ended, or it is none of ours
                pass
        return signalled


def _program(name: str) -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if not found:
        raise ProcessFailed("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    return found[-1]


def _as_owner(command: Sequence[str | Path]) -> list[str | Path]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return list(command)
    return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--pdeathsig", "KILL", *command]

