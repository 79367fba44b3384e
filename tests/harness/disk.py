"""File systems of a test's own, and what happens to disks. All of it takes root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


CAREFUL = "loop,errors=remount-ro"


@contextmanager
def mounted(folder: Path, *arguments: str | Path) -> Iterator[Path]:
    """Makes the folder, if it is not there, and mounts on it what the arguments of `mount` say, for as long as the context lasts."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", *arguments, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def small(folder: Path, size: str):
    """A file system with so much room, in memory."""
    return mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")


@contextmanager
def careful(folder: Path) -> Iterator[Path]:
    """A file system of a disk, which becomes read-only when the kernel finds it damaged: what Debian's installer makes."""
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    with mounted(folder, "-o", CAREFUL, image):
        yield folder


def damage(folder: Path) -> None:
    """Lets the kernel find damage on a `careful` file system."""
    device = os.stat(folder).st_dev
    name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
    Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("test")


def mend(folder: Path) -> None:
    """Does what it takes after `damage`: whoever had files open there has to open them again."""
    # What is mounted stays in the kernel as long as another process, such as a Prosody in a root of its own, has a mount
    # namespace that is older. So it is a copy of the disk that is mended and mounted instead.
    image = shutil.copy(folder.with_suffix(".img"), folder.with_suffix(".mended"))
    mended = subprocess.run(["e2fsck", "-fy", image], capture_output=True, text=True)
    assert mended.returncode in (0, 1), mended.stdout  # 1: there was something to mend
    subprocess.run(["umount", "--lazy", folder], check=True)
    subprocess.run(["mount", "-o", CAREFUL, image, folder], check=True)


def remount(folder: Path, mode: str) -> None:
    """Mounts what is there read-only ("ro") or for writing ("rw")."""
    subprocess.run(["mount", "-o", f"remount,{mode}", folder], check=True)


def fill(file: Path) -> None:
    """Leaves no byte free on the file system of a new file."""
    with file.open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            pass
