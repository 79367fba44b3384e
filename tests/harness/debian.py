"""Debian 13, for tests on a machine with Debian 12."""

import shlex
import subprocess
from pathlib import Path

from .process import ProcessFailed

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def root_of(script: str, *arguments: str) -> Path:
    """The folder whose path a script prints. The script makes it if it does not exist."""
    made = subprocess.run([SCRIPTS / script, *arguments], stdout=subprocess.PIPE, text=True)
    if made.returncode != 0:
        raise ProcessFailed(f"scripts/{script} failed; its output tells why")
    return Path(made.stdout.strip())


def debian_13() -> Path:
    """The folder with its files. It is made if it does not exist."""
    return root_of("debian-13")


def debian_11() -> Path:
    """The folder with the files of Debian 11 and its Prosody, 0.11. It is made if it does not exist."""
    return root_of("debian-root", "bullseye", "prosody-0.11", "prosody")


def ejabberd_26() -> Path:
    """The folder with its files and those of ejabberd 26. It is made if it does not exist."""
    return root_of("ejabberd-26")


def command_in(root: Path, *words: str | Path) -> list[str | Path]:
    """A command that runs with the /usr and /etc of one of these folders mounted over the
    machine's, for that one process (in a private mount namespace). All other paths stay the same,
    and nothing stays mounted."""
    folder = shlex.quote(str(root))
    # People's own folders below /usr, such as this repository, stay visible.
    script = f"""
        set -e
        mount --rbind /usr/local {folder}/usr/local
        mount --rbind /usr/src {folder}/usr/src
        mount --rbind {folder}/etc /etc
        mount --rbind {folder}/usr /usr
        exec "$@"
    """
    return ["unshare", "--mount", "sh", "-c", script, "sh", *words]
