"""A clock for programs that a test can set, as an operator
sets a machine's (by Debian's package `faketime`)."""

import atexit
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from .process import ProcessFailed


class Clock:
    """The time of day for the programs that run in its `environment`. Their monotonic clocks are
    not changed, as on a real machine."""

    def __init__(self, folder: Path):
        """A clock that shows the real time, with its files in the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "clock"
        # Prosody 13 does not see this machine's libraries, so it gets a copy.
        self._library = folder / "libfaketime.so.1"
        shutil.copyfile(_library(), self._library)
        self.set(0)

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment variables for the programs."""
        return {"LD_PRELOAD": str(self._library), "FAKETIME_TIMESTAMP_FILE": str(self._file), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def set(self, seconds: int) -> None:
        """Sets the clock to so many seconds after the real time, or before."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        os.replace(new, self._file)  # a reader finds the old time or the new one


@atexit.register
def _remove_leftovers() -> None:
    """Removes files that the library keeps for a process and leaves behind when it is killed. They
    would keep a later process with the same id from starting."""
    for file in Path("/dev/shm").glob("*faketime_*_*"):
        if not Path("/proc", file.name.rpartition("_")[2]).exists():
            file.unlink(missing_ok=True)


def _library() -> Path:
    found = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if found is None:
        raise ProcessFailed("libfaketime is not installed (Debian: apt-get install faketime)")
    return found
