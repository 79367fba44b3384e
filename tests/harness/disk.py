"""File systems for tests, and faults of disks. All of it needs root."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .process import PATIENCE

CAREFUL = "loop,errors=remount-ro"


@contextmanager
def mounted(folder: Path, *arguments: str | Path) -> Iterator[Path]:
    """Mounts a file system on a folder, with these arguments of `mount`, while the context lasts.
    Creates the folder."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", *arguments, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def small(folder: Path, size: str):
    """A file system of this size, in memory."""
    return mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")


@contextmanager
def careful(folder: Path) -> Iterator[Path]:
    """A disk's file system that becomes read-only when the
    kernel finds damage, as Debian's installer makes them."""
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    with mounted(folder, "-o", CAREFUL, image):
        yield folder


def damage(folder: Path) -> None:
    """Makes the kernel find damage on a `careful` file system."""
    device = os.stat(folder).st_dev
    name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
    Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("test")


def mend(folder: Path) -> None:
    """Repairs a `careful` file system after `damage`. Open files have to be opened again."""
    # The file system stays mounted in older mount namespaces, such as that of a Prosody in its own
    # root. So a copy of the disk is repaired and mounted instead.
    image = shutil.copy(folder.with_suffix(".img"), folder.with_suffix(".mended"))
    mended = subprocess.run(["e2fsck", "-fy", image], capture_output=True, text=True)
    assert mended.returncode in (0, 1), mended.stdout  # 1: damage was repaired
    subprocess.run(["umount", "--lazy", folder], check=True)
    subprocess.run(["mount", "-o", CAREFUL, image, folder], check=True)


def remount(folder: Path, mode: str) -> None:
    """Remounts it read-only ("ro") or for writing ("rw"). It is busy while somebody writes a file:
    then this tries again."""
    for _ in range(100 * PATIENCE):
        mounted = subprocess.run(["mount", "-o", f"remount,{mode}", folder], capture_output=True, text=True)
        if mounted.returncode == 0:
            return
        assert "busy" in mounted.stderr, mounted.stderr
        time.sleep(0.01)
    raise AssertionError(f"{folder} stays busy: {mounted.stderr}")


def fill(file: Path) -> None:
    """Fills the file system with a new file, to the last byte."""
    with file.open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            pass
