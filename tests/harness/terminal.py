"""A chat client in a terminal (tmux) that a test types into and reads from."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from .process import PATIENCE, Process, ProcessFailed

COLUMNS, ROWS = 200, 50


class Terminal:
    """One program in its own folder, its home. A context manager: it runs within `with`, and ends
    with it."""

    def __init__(self, folder: Path, *command: str | Path):
        """The program with its arguments, which is not started yet."""
        self.folder = folder
        self.command = command
        self.log_file = folder / "tmux.log"
        self._socket = folder / "tmux.sock"
        self._tmux_process: Process | None = None

    def __enter__(self) -> "Terminal":
        for program in ("tmux", self.command[0]):
            if shutil.which(program) is None:
                raise ProcessFailed(f"{program} is not installed (scripts/test does that)")
        self._tmux_process = Process("tmux", ["tmux", "-S", self._socket, "-f", "/dev/null", "-D"], self.log_file)
        self._tmux_process.wait_until(self._socket.exists, PATIENCE, "socket")
        own = [f"{name}={self.folder}" for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")]
        own += ["LC_ALL=C.UTF-8", "TERM=screen-256color"]
        self._tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS),
                   "env", "-u", "COLUMNS", "-u", "LINES", *own, *self.command)
        self._pid = int(self._tmux("display-message", "-p", "#{pane_pid}"))
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)  # poezio would go on without its terminal, and take a processor
        self._tmux_process.kill()

    def type(self, line: str) -> None:
        """Types a line and presses Enter."""
        self.write(line)
        self.press("Enter")

    def write(self, text: str) -> None:
        """Types a text."""
        self._tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Presses keys, as tmux names them."""
        self._tmux("send-keys", *keys)

    async def read(self, pattern: str, seconds: float = PATIENCE) -> re.Match:
        """Waits until the screen matches a regular expression, and returns the match."""
        deadline = time.monotonic() + seconds
        while True:
            screen = self._tmux("capture-pane", "-p", "-J")
            found = re.search(pattern, screen)
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.command[0]} does not show {pattern}, but\n{screen}")
            await asyncio.sleep(0.05)

    def _tmux(self, *words: str | Path) -> str:
        done = subprocess.run(["tmux", "-S", str(self._socket), *map(str, words)],
                              capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise ProcessFailed(f"tmux {words[0]}: {done.stderr}")
        return done.stdout
