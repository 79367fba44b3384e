"""Gajim, a real chat client."""

import asyncio
import json
import re
import time
from pathlib import Path

from .process import PATIENCE
from .server import Server, password_of
from .windows import Windows


class Gajim(Windows):
    """Gajim, logged in as a user of a server without TLS, with a chat open."""

    def __init__(self, server: Server, folder: Path, username: str, address: str):
        """A Gajim for this user and a chat with this address, which is not started yet."""
        self._said, self._shown, self._window = folder / "said", folder / "shown", folder / "window"
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

    def do(self, **step: object) -> None:
        """Does something in the window with commands (see in_gajim.py), once the window is ready."""
        with self._said.open("a") as said:
            said.write(json.dumps(step) + "\n")

    async def read(self, pattern: str) -> re.Match:
        """Waits until all is done, and the window with commands shows a text, a line for each
        part of it, that matches a regular expression."""
        deadline = time.monotonic() + PATIENCE
        while True:
            done, *texts = json.loads(self._window.read_text()) if self._window.exists() else [0]
            shown = "\n".join(texts)
            found = re.search(pattern, shown)
            if found and done == len(self._said.read_text().splitlines()):
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"Gajim does not show {pattern}, but\n{shown}\n{self._process.log}")
            await asyncio.sleep(0.05)

    def shown(self) -> list[str]:
        """The other side's messages in the open chat so far."""
        return [json.loads(line) for line in self._shown.read_text().splitlines()]
