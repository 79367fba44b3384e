"""A whole machine with Debian, as an operator has it: its own systemd with all its units, its own
files, users and network. Nothing of it is left afterwards.

The network has no way out, but apt has what it takes to install Prosody again.
"""

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .debian import root_of
from .process import port_answers
from .server import password_of
from .stories import eventually
from .systemd import BEGIN, ENTER, INIT, OVERLAY, Systemd
from .xmpp import Client

SUITES = {"bookworm": "0.12", "trixie": "13"}
"""Debian's releases, each with the version of its Prosody."""

# Devices of its own, so that it changes none of the host's, nor the kernel's settings. A /sys that
# cannot be written tells systemd that devices are none of its business.
DEVICES = r"""
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs dev
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty dev/
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
for link in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do ln -s /proc/self/${link#*:} dev/${link%:*}; done
tr -d - < /proc/sys/kernel/random/uuid > etc/machine-id
"""


class Debian(Systemd):
    """A machine of one of SUITES. A context manager: it runs within `with`."""

    _namespaces = (*Systemd._namespaces, "net")
    _command_seconds = 300

    def __init__(self, suite: str):
        """Describes it. It has Prosody, as `apt install prosody` leaves it."""
        self._folder = tempfile.TemporaryDirectory()
        super().__init__(Path(self._folder.name), root_of("debian-root", suite))
        self._boot = BEGIN + OVERLAY + DEVICES + ENTER + INIT
        self._environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
                             "LANG": "C.UTF-8"}
        self._visitors = 0
        self.suite = suite
        self.domain = "example.org"

    def stop(self) -> None:
        """Ends it, and removes what it wrote."""
        super().stop()
        self._folder.cleanup()

    @property
    def files(self) -> Path:
        """Its root folder, seen from outside."""
        return Path(f"/proc/{self._init}/root")

    def copy_in(self, file: Path, path: str) -> None:
        """Copies a file to this path in the machine."""
        place = self.files / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)

    @contextmanager
    def network(self) -> Iterator[None]:
        """The calling thread is in the machine's network: what it connects to is there."""
        if self._visitors == 0:
            self._outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            _enter(Path(f"/proc/{self._init}/ns/net"))
        self._visitors += 1  # tasks of one thread, one within the other
        try:
            yield
        finally:
            self._visitors -= 1
            if self._visitors == 0:
                _enter(Path(f"/proc/self/fd/{self._outside}"))
                os.close(self._outside)

    async def connect(self, domain: str | None = None, *, source: str | None = None,
                      language: str | None = None) -> Client:
        """A client's stream to Prosody that has not logged in."""
        with self.network():
            await eventually(lambda: port_answers(5222), "Prosody accepts connections")
            return await Client.connect("127.0.0.1", 5222, domain or self.domain, tls=True, source=source,
                                        language=language)

    async def login(self, username: str, password: str | None = None, *, domain: str | None = None,
                    presence: bool = True) -> Client:
        """A user's stream, logged in."""
        client = await self.connect(domain)
        return await client.login(username, password_of(username) if password is None else password, presence=presence)


def _enter(namespace: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with namespace.open() as file:
        if libc.setns(file.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), f"setns: {namespace}")
