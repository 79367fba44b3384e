"""A service manager, as a daemon sees it: the socket to which it tells how it stands (sd_notify(3))."""

import os
import socket
from pathlib import Path


class Manager:
    """Receives what a daemon tells. `environment` is for the daemon."""

    def __init__(self, folder: Path, *, abstract: bool = False, watchdog: float | None = None):
        """Listens on a socket in the folder, or on an abstract one.
        `watchdog` is its patience in seconds."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        name = f"\0easy-invite-{os.getpid()}" if abstract else str(folder / "notify")
        self._socket.bind(name)
        self.environment = {"NOTIFY_SOCKET": name.replace("\0", "@")}
        if watchdog:
            self.environment["WATCHDOG_USEC"] = str(int(watchdog * 1_000_000))
        self._told: list[dict[str, str]] = []

    @property
    def told(self) -> list[dict[str, str]]:
        """Every message so far, with its assignments."""
        while True:
            try:
                message = self._socket.recv(4096).decode()
            except BlockingIOError:
                return self._told
            self._told.append(dict(line.split("=", 1) for line in message.splitlines()))

    def number_of(self, **assignment: str) -> int:
        """How many messages had this assignment."""
        return sum(message.items() >= assignment.items() for message in self.told)

    @property
    def status(self) -> str:
        """The status that was told last."""
        return next((message["STATUS"] for message in reversed(self.told) if "STATUS" in message), "")
