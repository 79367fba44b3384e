"""Gajim, a real chat client."""

import json
from pathlib import Path

from .server import Server, password_of
from .windows import Windows


class Gajim(Windows):
    """Gajim, logged in as a user of a server without TLS, with a chat open."""

    def __init__(self, server: Server, folder: Path, username: str, address: str):
        """A Gajim for this user and a chat with this address, which is not started yet."""
        self._said, self._shown = folder / "said", folder / "shown"
        super().__init__(folder, "/usr/bin/python3", "-P", Path(__file__).with_name("in_gajim.py"), folder,
                         f"{username}@{server.domain}", password_of(username), str(server.prosody.c2s_port), address)

    def __enter__(self) -> "Gajim":
        self._said.touch()
        super().__enter__()
        self.wait_until(self._shown.exists, "open chat")
        return self

    def say(self, text: str) -> None:
        """Types a text into the open chat, and sends it."""
        with self._said.open("a") as said:
            said.write(json.dumps(text) + "\n")

    def shown(self) -> list[str]:
        """The other side's messages in the open chat so far."""
        return [json.loads(line) for line in self._shown.read_text().splitlines()]
