"""A throw-away PostgreSQL in its own folder and on a free port of 127.0.0.1, with databases.

The programs are those of Debian's package `postgresql`. The machine's own server is not touched.
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
STOP_SECONDS = 60  # it writes everything to its disk first, which may be busy
# "syncfs": after a crash, PostgreSQL would else sync
# thousands of files of many tests' databases one by one.
SETTINGS = {"listen_addresses": "127.0.0.1", "max_connections": 200, "shared_buffers": "32MB",
            "log_line_prefix": "%d %p ", "recovery_init_sync_method": "syncfs"}


class Postgres(Service):
    """One throw-away PostgreSQL server. A context manager:
    it runs within `with`, and is stopped at the end."""

    def __init__(self, folder: Path):
        """Describes the server. `start` (or `with`) makes and runs it.
        Other users must be able to enter the folder."""
        self.folder = folder.resolve()
        self.port = free_port()
        self.log_file = self.folder / "postgres.log"
        self._data = self.folder / "data"
        self._databases = itertools.count(1)

    @property
    def log(self) -> str:
        """The log so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self) -> None:
        """Runs the server, and creates the cluster the first time.
        Returns when the server answers."""
        if not self._data.exists():
            self._make()
        command = [program("postgres"), "-D", self._data, "-p", str(self.port), "-k", self.folder]
        for key, value in SETTINGS.items():
            command += ["-c", f"{key}={value}"]
        self._process = Process("PostgreSQL", _as_owner(command), self.log_file, folder=self.folder)
        self._process.wait_until(self._answers, START_SECONDS, "answer on its port")

    def stop(self) -> int | None:
        """Stops it at once ("fast": connections are ended).
        Returns the exit code, or None if it did not run."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(signal.SIGINT)
        return process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """Ends all its processes (SIGKILL), as a crash of the machine does.
        Returns when none is left."""
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
        """Creates an empty database and returns its URL, as `store.url` takes it."""
        name = f"invites_{os.getpid()}_{next(self._databases)}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._url(name)

    def end_connections(self) -> int:
        """Ends all connections to these databases, and returns how many there were."""
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
        command = [program("initdb"), "--pgdata", self._data, "--username", "postgres", "--auth", "trust",
                   "--encoding", "UTF8", "--no-locale", "--no-sync"]
        made = subprocess.run([str(word) for word in _as_owner(command)], cwd=self.folder,
                              capture_output=True, text=True)
        if made.returncode != 0:
            raise ProcessFailed(f"initdb ended with {made.returncode}\n{made.stdout}{made.stderr}")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._url("postgres"), connect_timeout=2).close()
            return True
        except psycopg.OperationalError:
            return False

    def _signal_all(self, number: signal.Signals) -> int:
        """Signals the server and its processes, each of which has its own session.
        Returns their number."""
        signalled = 0
        for folder in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if folder.readlink() == self._data:
                    os.kill(int(folder.parent.name), number)
                    signalled += 1
            except OSError:  # it has ended, or belongs to another user
                pass
        return signalled


def program(name: str) -> Path:
    """The newest of PostgreSQL's programs of this name."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if not found:
        raise ProcessFailed("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    return found[-1]


def _as_owner(command: Sequence[str | Path]) -> list[str | Path]:
    """The command, run as another user if need be: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return list(command)
    return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--pdeathsig", "KILL", *command]

