"""Debian 13, for tests on a machine with Debian 12."""

import subprocess
from pathlib import Path

from .process import ProcessFailed

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "debian-13"


def debian_13() -> Path:
    """The folder with its files. It is made if it does not exist."""
    made = subprocess.run([SCRIPT], stdout=subprocess.PIPE, text=True)
    if made.returncode != 0:
        raise ProcessFailed(f"{SCRIPT} failed; its output tells why")
    return Path(made.stdout.strip())
