"""A program that a test starts. Its output goes to a file.
It ends with the test's process, in any case."""

import atexit
import os
import random
import signal
import socket
import subprocess
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PATIENCE = 60
"""Seconds to wait for what must happen. It happens at once, but not on a busy machine."""

_running: "weakref.WeakSet[Process]" = weakref.WeakSet()
_ports_given: set[int] = set()


class ProcessFailed(Exception):
    """A program did not start, or did not end, or ended too early. The message carries its log."""


class Process:
    """One run of a program.

    The kernel kills it when the thread that started it ends, so start it from the main thread.
    """

    def __init__(self, name: str, command: Sequence[str | Path], output: Path, *, folder: Path | None = None,
                 environment: Mapping[str, str] | None = None):
        """Starts `command` in `folder`, and appends its stdout and stderr to `output`.
        `name` is for messages."""
        self.name = name
        self.output = output
        with output.open("ab") as sink:
            self._popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *map(str, command)],
                cwd=folder, env=None if environment is None else dict(environment),
                stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True)
        _running.add(self)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code (negative: the signal that ended it), or None while it runs."""
        return self._popen.poll()

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal, if it still runs."""
        self._popen.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Waits for its end and returns the exit code."""
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"{self.name} still runs after {seconds} seconds\n{self.log}") from None

    def stop(self, seconds: float = PATIENCE) -> int:
        """Stops it with SIGTERM, and returns the exit code.
        Kills it and fails if it does not end in time."""
        self.send_signal(signal.SIGTERM)
        self.send_signal(signal.SIGCONT)  # a paused program must go on to end
        try:
            return self.wait(seconds)
        except ProcessFailed:
            self.kill()
            raise

    def kill(self) -> None:
        """Ends it with SIGKILL, at once."""
        self._popen.kill()
        self._popen.wait()

    def wait_until(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        """Waits until `ready()` is true. Fails, with the
        log, if the program or the time ends first."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.exit_code is not None:
                raise ProcessFailed(f"{self.name} ended with {self.exit_code} before {what}\n{self.log}")
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name}: no {what} after {seconds} seconds\n{self.log}")
            time.sleep(0.02)

    @property
    def log(self) -> str:
        """Everything that it has written so far."""
        return self.output.read_text(errors="replace")


@dataclass(frozen=True)
class Holdings:
    """The resources that a process holds."""

    memory: int
    """Resident memory in KiB, without pages of files: those of the program come as it uses them."""
    peak: int
    """The most memory that it ever held, if the pages of files have not grown since."""
    threads: int
    files: int
    """Open files and connections."""

    @classmethod
    def of(cls, pid: int) -> "Holdings":
        """The resources of a running process."""
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines if ":" in line)
        now, peak, of_files = (int(status[name].split()[0]) for name in ("VmRSS", "VmHWM", "RssFile"))
        return cls(now - of_files, peak - of_files, int(status["Threads"]), len(os.listdir(f"/proc/{pid}/fd")))


class Service:
    """A server that a test starts, stops and disturbs."""

    _process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The id of the running process, or None."""
        return self._process.pid if self._process else None

    def stop(self) -> int | None:
        """Stops it (SIGTERM). Returns the exit code, or None if it did not run."""
        process, self._process = self._process, None
        return process.stop() if process else None

    def kill(self) -> None:
        """Ends it as a crash does (SIGKILL)."""
        process, self._process = self._process, None
        if process:
            process.kill()

    def pause(self) -> None:
        """Makes it hang (SIGSTOP) until `resume`."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on after `pause`."""
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stops and starts it, on the same ports and data, with its configuration written again."""
        self.stop()
        self.start()


@atexit.register
def _kill_leftovers() -> None:
    for process in list(_running):
        if process.exit_code is None:
            process.kill()


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on, and that this function has not returned before.

    It is below the range of ports that the kernel uses for outgoing connections, so it stays free
    while a server restarts. Tests in parallel processes (pytest-xdist) take theirs from separate
    parts of the range.
    """
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(10000, first_outgoing)[worker::workers]
    if not ports:
        raise RuntimeError("net.ipv4.ip_local_port_range leaves no ports for servers")
    chance = random.Random(os.urandom(16))
    while True:
        port = chance.choice(ports)
        if port in _ports_given:
            continue
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports_given.add(port)
        return port


def port_answers(port: int, address: str = "127.0.0.1") -> bool:
    """Whether anything on this address accepts connections on the port."""
    try:
        socket.create_connection((address, port), 1).close()
        return True
    except OSError:
        return False
