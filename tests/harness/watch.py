"""Watches what a daemon holds while something happens to it: resources, and uses in its store."""

import sqlite3
import threading
from collections.abc import Callable

import psycopg

from .process import PATIENCE, Holdings
from .server import Server
from .stories import in_store

EVERY = 0.05  # seconds between two looks
OPEN_USES = "SELECT count(*) FROM invite_use WHERE redeemed_at IS NULL"


class Watch:
    """Watches a running daemon and keeps the maximum of each number. A context manager: it watches
    within `with`.

    A look into a store that hangs takes as long as the store. A store that is away is not counted.
    """

    def __init__(self, server: Server):
        """A watch on the server's daemon as it runs now."""
        self._server = server
        self._pid = server.daemon.pid
        self._ended = threading.Event()
        self.before = Holdings.of(self._pid)
        self.peak = self.before.peak
        self.threads = self.before.threads
        self.files = self.before.files
        self.open_uses = 0
        """The maximum of uses that were reserved, and neither redeemed nor released."""
        self._looking = [threading.Thread(target=self._again_and_again, args=(look,), daemon=True)
                         for look in (self._look_at_process, self._look_into_store)]

    def __enter__(self) -> "Watch":
        for thread in self._looking:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._looking:
            thread.join(PATIENCE)

    @property
    def growth(self) -> int:
        """By how much its memory grew at the most, in KiB.
        The kernel keeps the peak, so no look misses it."""
        return self.peak - self.before.memory

    def __str__(self) -> str:
        return (f"{self.before.memory} kB and at the most {self.growth} more, {self.threads} threads, "
                f"{self.files} files, {self.open_uses} open uses")

    def assert_bounded(self, *, growth: int, files: int, open_uses: int, threads: int = 0) -> None:
        """Checks the maxima: KiB, open files, open uses,
        and threads beyond those at the beginning."""
        print(self)
        assert self.growth < growth, str(self)
        assert self.threads <= self.before.threads + threads, str(self)
        assert self.files <= self.before.files + files, str(self)
        assert self.open_uses <= open_uses, str(self)

    def _again_and_again(self, look: Callable[[], None]) -> None:
        while True:
            ended = self._ended.wait(EVERY)
            look()
            if ended:
                return

    def _look_at_process(self) -> None:
        now = Holdings.of(self._pid)
        self.peak = max(self.peak, now.peak)
        self.threads = max(self.threads, now.threads)
        self.files = max(self.files, now.files)

    def _look_into_store(self) -> None:
        try:
            self.open_uses = max(self.open_uses, in_store(self._server, OPEN_USES)[0][0])
        except (sqlite3.Error, psycopg.Error):
            pass
