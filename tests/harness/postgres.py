"""A throw-away PostgreSQL in its own folder and on a free port of 127.0.0.1, with databases; and a
pair of them, of which one takes over from the other.

The programs are those of Debian's package `postgresql`. The machine's own server is not touched.
"""

import itertools
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg

from .process import PATIENCE, Process, ProcessFailed, Service, free_port

# "syncfs": after a crash, PostgreSQL would else sync
# thousands of files of many tests' databases one by one.
SETTINGS = {"listen_addresses": "127.0.0.1", "max_connections": 200, "shared_buffers": "32MB",
            "log_line_prefix": "%d %p ", "recovery_init_sync_method": "syncfs"}
# What pg_rewind needs, on both servers of a pair.
SETTINGS_OF_A_PAIR = {"wal_log_hints": "on", "wal_keep_size": "128MB", "min_wal_size": "32MB"}


class Postgres(Service):
    """One throw-away PostgreSQL server. A context manager:
    it runs within `with`, and is stopped at the end."""

    def __init__(self, folder: Path, settings: Mapping[str, object] | None = None):
        """Describes the server, with these settings besides SETTINGS. `start` (or `with`) makes and
        runs it. Other users must be able to enter the folder."""
        self.folder = folder.resolve()
        self.port = free_port()
        self.settings = {**SETTINGS, **(settings or {})}
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
        self._process = Process("PostgreSQL", _as_owner(command), self.log_file, folder=self.folder)
        self._process.wait_until(self._answers, PATIENCE, "answer on its port")

    def stop(self) -> int | None:
        """Stops it at once ("fast": connections are ended).
        Returns the exit code, or None if it did not run."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(signal.SIGINT)
        return process.wait(PATIENCE)

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
        self.query(f"CREATE DATABASE {name}")
        return self._url(name)

    def end_connections(self) -> int:
        """Ends all connections to these databases, and returns how many there were."""
        ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname LIKE 'invites_%'"
        return self.query(ended)[0][0]

    def query(self, statement: str) -> list[tuple]:
        """Runs a statement on a new connection, without a transaction. Returns the rows."""
        with psycopg.connect(self._url("postgres"), autocommit=True, connect_timeout=PATIENCE) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def set(self, setting: str, value: str) -> None:
        """Changes a setting of the running server. Returns when its processes have been told."""
        self.query(f"ALTER SYSTEM SET {setting} = '{value}'")
        self.query("SELECT pg_reload_conf()")
        # A new connection has it only after the others have been told.
        self._process.wait_until(lambda: self.query(f"SHOW {setting}") == [(value,)], PATIENCE, f"new {setting}")

    def follow(self, primary: "Postgres", *, rewind: bool) -> None:
        """Makes this server, which must not run, a standby of another, under the name of its
        folder, and starts it. With `rewind`, it was the primary before, and loses only what the
        other does not have (pg_rewind). Otherwise it becomes a copy (pg_basebackup)."""
        source = f"host=127.0.0.1 port={primary.port} user=postgres application_name={self.folder.name}"
        if rewind:
            primary.query("CHECKPOINT")  # before it, pg_rewind would see no new timeline there
            self._run("pg_rewind", "--target-pgdata", self._data, "--source-server", source, "--write-recovery-conf",
                      "--no-sync")
        else:
            shutil.rmtree(self._data, ignore_errors=True)
            self._make_folder()
            self._run("pg_basebackup", "--pgdata", self._data, "--dbname", source, "--write-recovery-conf",
                      "--checkpoint", "fast", "--no-sync")
        self.start()

    def promote(self) -> None:
        """Makes a standby a primary."""
        self.query(f"SELECT pg_promote(true, {PATIENCE})")

    def _url(self, database: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def _make(self) -> None:
        self._make_folder()
        self._run("initdb", "--pgdata", self._data, "--username", "postgres", "--auth", "trust", "--encoding", "UTF8",
                  "--no-locale", "--no-sync")
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{key} = '{value}'\n" for key, value in self.settings.items())

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")

    def _run(self, name: str, *arguments: str | Path) -> None:
        command = [str(word) for word in _as_owner([program(name), *arguments])]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise ProcessFailed(f"{name} ended with {done.returncode}\n{done.stdout}{done.stderr}{self.log}")

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


class Pair:
    """A primary, and a standby without which it reports no commit. They change places whenever the
    standby takes over."""

    def __init__(self, folder: Path):
        """Describes the pair. `start` makes and runs both.
        Other users must be able to enter what is around the folder."""
        self._folder = folder
        self.primary, self.standby = (Postgres(folder / name, SETTINGS_OF_A_PAIR) for name in ("db1", "db2"))
        self._hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"

    def start(self, synchronous_commit: str = "on") -> None:
        """Makes both, and runs them."""
        self._folder.mkdir(exist_ok=True)
        self._folder.chmod(0o755)  # PostgreSQL's user enters it
        self.primary.start()
        self.join(synchronous_commit, rewind=False)

    def kill(self) -> None:
        """Ends both, for when they are not needed any more."""
        self.primary.kill()
        self.standby.kill()

    def create_database(self) -> str:
        """Creates an empty database and returns its URL, with both hosts."""
        return re.sub(r"(?<=@)[^/]*", self._hosts, self.primary.create_database())

    def hold_commits(self) -> None:
        """Sends the standby nothing any more, until the primary is killed. Returns when a commit
        waits for it."""
        for process, in self.primary.query("SELECT pid FROM pg_stat_replication"):
            os.kill(process, signal.SIGSTOP)
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        self.primary._process.wait_until(lambda: self.primary.query(waiting), PATIENCE, "commit that waits")

    def fail_over(self) -> None:
        """The standby takes over. The old primary has been fenced, or not."""
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def join(self, synchronous_commit: str, *, rewind: bool) -> None:
        """Makes the other server a standby, whatever it was. When this returns, the standby has
        everything, and every commit waits for it, as far as `synchronous_commit` says."""
        self.standby.kill()
        self.standby.follow(self.primary, rewind=rewind)
        self.primary.set("synchronous_commit", synchronous_commit)
        self.primary.set("synchronous_standby_names", self.standby.folder.name)
        # The process that lets the others wait reads its configuration before a checkpoint.
        self.primary.query("CHECKPOINT")
        end, = self.primary.query("SELECT pg_current_wal_lsn()")[0]
        streams = f"SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync' AND replay_lsn >= '{end}'"
        self.standby._process.wait_until(lambda: self.primary.query(streams), PATIENCE, "stream of everything")


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

