"""A chat client with windows, on a screen that nobody sees."""

import asyncio
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from .process import PATIENCE, Process


class Windows:
    """One program in its own folder, its home, with an X server and a D-Bus of its own. A context
    manager: it runs within `with`, and ends with it."""

    def __init__(self, folder: Path, *command: str | Path, own_network: bool = False, before: str = ""):
        """The program with its arguments, which is not started yet. `before` are lines of shell
        that run first, where `own_network` gives it a network and mounts of its own."""
        self.folder = folder
        self.display: dict[str, str] = {}
        self._read = 0
        self._inside = before + """
            xvfb-run --auto-servernum dbus-run-session -- sh -c '
                printf "%s\\n%s\\n" "$DISPLAY" "$XAUTHORITY" >"$HOME/display.new"
                mv "$HOME/display.new" "$HOME/display"; exec "$@"' sh "$@"
            """
        homes = [f"{name}={folder}" for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")]
        namespaces = ["--pid", "--fork", "--kill-child", "--mount-proc", *(["--net"] if own_network else [])]
        # All that it starts ends with its namespace of processes.
        self._command = ["unshare", *namespaces, "env", *homes, "LC_ALL=C.UTF-8", "NO_AT_BRIDGE=1",
                         "GSK_RENDERER=cairo", "sh", "-e", "-c", self._inside, "sh", *command]

    def __enter__(self) -> "Windows":
        self._process = Process(type(self).__name__, self._command, self.folder / "output.log")
        display = self.folder / "display"
        self.wait_until(display.exists, "screen")
        self.display = {**os.environ, **dict(zip(("DISPLAY", "XAUTHORITY"), display.read_text().splitlines()))}
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """Waits until `ready()` is true."""
        self._process.wait_until(ready, PATIENCE, what)

    def say(self, text: str) -> None:
        """Types a text into the open chat, and sends it."""
        raise NotImplementedError

    def shown(self) -> list[str]:
        """The other side's messages in the open chat so far."""
        raise NotImplementedError

    async def ask(self, text: str, pattern: str) -> re.Match:
        """Sends a text, and waits until the next message of the other side is shown. It must match
        a regular expression."""
        self.say(text)
        deadline = time.monotonic() + PATIENCE
        while len(shown := self.shown()) <= self._read:
            if time.monotonic() > deadline:
                raise AssertionError(f"{type(self).__name__} shows no answer to {text}\n{self._process.log}")
            await asyncio.sleep(0.05)
        answer = shown[self._read]
        self._read += 1
        found = re.search(pattern, answer)
        assert found, f"{type(self).__name__} shows, instead of {pattern}:\n{answer}"
        return found
