"""A wire between the daemon and Prosody that a test can cut at a certain stanza."""

import asyncio
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable

from .process import PATIENCE

CHUNK = 65536

# What may fail when a stanza passes: each is called with a `Server` and its relay.
FAULTS = {
    "the-daemon-is-killed": lambda server, relay: server.daemon.kill(),
    "prosody-is-killed": lambda server, relay: server.prosody.kill(),
    "both-are-killed": lambda server, relay: server.kill(),
    "the-wire-is-cut": lambda server, relay: relay.cut(),
}


class Relay:
    """Listens on a port of 127.0.0.1 and passes bytes to another port and back, for any number of
    connections.

    `before` arms it: when a stanza matches, `fault` is called, and the stanza and everything after
    it is lost. Only the first match counts. This works because senders write whole stanzas, which
    stay whole over loopback. `cut_after` arms it to end every connection after some bytes, in the
    middle of a stanza.
    """

    def __init__(self, port: int):
        """A relay to this port. It works at once, until `close`."""
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._armed: tuple[re.Pattern[bytes], Callable[[], None]] | None = None
        self._passing: int | None = None
        self.passed = 0
        """How many bytes have passed so far, both ways."""
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self.struck = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def before(self, pattern: str, fault: Callable[[], None]) -> None:
        """Calls `fault` (from another thread) instead of passing the first stanza that matches."""
        self.struck.clear()
        self._armed = re.compile(pattern.encode()), fault

    def cut_after(self, count: int) -> None:
        """Ends every connection after so many more bytes, counted both ways.
        New connections work."""
        self.struck.clear()
        with self._lock:
            self._passing = count

    async def struck_during(self, attempt: Callable[[], Awaitable[object]]) -> asyncio.Task:
        """Makes attempts until one of them brings about what this was armed for, and returns that one.
        An attempt may end before: on a machine that stands still, servers refuse it as temporary."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            task = asyncio.ensure_future(attempt())
            while not (task.done() or self.struck.is_set()):
                await asyncio.sleep(0.01)
            if await asyncio.to_thread(self.struck.wait, 1):  # the fault may end the attempt first
                return task
            task.exception()
        raise AssertionError("nothing has passed that it was armed for")

    async def until_struck(self) -> None:
        """Waits until it has done what it was armed for."""
        assert await asyncio.to_thread(self.struck.wait, PATIENCE), "nothing has passed that it was armed for"

    def cut(self) -> None:
        """Ends every connection. New connections work."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._end(pair)

    def close(self) -> None:
        """Ends every connection and stops listening."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 5)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            pair = near, far
            with self._lock:
                self._pairs.add(pair)
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self._pass, args=(pair, source, sink), daemon=True).start()

    def _pass(self, pair: tuple[socket.socket, socket.socket], source: socket.socket, sink: socket.socket) -> None:
        try:
            while chunk := source.recv(CHUNK):
                fault, chunk = self._strike(chunk) or self._count(chunk)
                sink.sendall(chunk)
                if fault is not None:
                    fault()
                    self._end(pair)
                    self.struck.set()
                    return
        except OSError:
            pass
        self._end(pair)

    def _strike(self, chunk: bytes) -> tuple[Callable[[], None], bytes] | None:
        """The fault, if it is time for it, and the part of the chunk that still passes."""
        with self._lock:
            found = self._armed and self._armed[0].search(chunk)
            if not found:
                return None
            _, fault = self._armed
            self._armed = None
        return fault, chunk[:max(chunk.rfind(b"<iq", 0, found.end()), 0)]

    def _count(self, chunk: bytes) -> tuple[Callable[[], None] | None, bytes]:
        """The part of the chunk that still passes, and the cut if that is not all of it."""
        with self._lock:
            self.passed += len(chunk)
            if self._passing is None or len(chunk) < self._passing:
                self._passing = None if self._passing is None else self._passing - len(chunk)
                return None, chunk
            passing, self._passing = self._passing, None
        return self.cut, chunk[:passing]

    def _end(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
