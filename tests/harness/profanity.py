"""profanity, a real chat client, in a terminal (tmux) that a test types into and reads from."""

import asyncio
import re
import shutil
import subprocess
import time
from pathlib import Path

from .process import Process, ProcessFailed
from .server import Server, password_of

COLUMNS, ROWS = 200, 50
SCREEN_SECONDS = 15
TMUX_SECONDS = 10


class Profanity:
    """One profanity in its own folder. A context manager:
    it runs within `with`, and ends with it."""

    def __init__(self, server: Server, folder: Path):
        """A profanity for logging in to this server, which must have TLS."""
        self.server = server
        self.folder = folder
        self.log_file = folder / "tmux.log"
        self._socket = folder / "tmux.sock"
        self._terminal: Process | None = None

    def __enter__(self) -> "Profanity":
        for program in ("profanity", "tmux"):
            if shutil.which(program) is None:
                raise ProcessFailed(f"{program} is not installed (scripts/test does that)")
        self._terminal = Process("tmux", ["tmux", "-S", self._socket, "-f", "/dev/null", "-D"], self.log_file)
        self._terminal.wait_until(self._socket.exists, SCREEN_SECONDS, "socket")
        home = f"HOME='{self.folder}' XDG_CONFIG_HOME='{self.folder}' XDG_DATA_HOME='{self.folder}'"
        self._tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS),
                   f"exec env {home} LC_ALL=C.UTF-8 TERM=screen profanity")
        return self

    def __exit__(self, *_: object) -> None:
        self._terminal.kill()

    async def log_in(self, username: str) -> None:
        """Connects as a user of the server."""
        await self.read(r"Type '/help'")
        port = self.server.prosody.c2s_port
        self.type(f"/connect {username}@{self.server.domain} server 127.0.0.1 port {port} tls trust")
        await self.read("Enter password:")
        self.type(password_of(username))
        await self.read("logged in successfully")
        # profanity runs commands only after it has learnt that the server has them.
        self.type("/disco info")
        await self.read("http://jabber.org/protocol/commands")

    def type(self, line: str) -> None:
        """Types a line and presses Enter."""
        self._tmux("send-keys", "-l", line)
        self._tmux("send-keys", "Enter")

    async def read(self, pattern: str) -> re.Match:
        """Waits until the screen matches a regular expression, and returns the match."""
        deadline = time.monotonic() + SCREEN_SECONDS
        while True:
            screen = self._tmux("capture-pane", "-p", "-J")
            found = re.search(pattern, screen)
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"profanity does not show {pattern}, but\n{screen}")
            await asyncio.sleep(0.05)

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(["tmux", "-S", str(self._socket), *words],
                              capture_output=True, text=True, timeout=TMUX_SECONDS)
        if done.returncode != 0:
            raise ProcessFailed(f"tmux {words[0]}: {done.stderr}")
        return done.stdout
