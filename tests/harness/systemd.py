"""A systemd of its own, as process 1 of a container that it shares with nothing but the network and
most of the files: what it changes in /etc, /run, /usr/local and /var is gone with it. The files are
this machine's, or those of another Debian.

Only root can start it. It has no units but the few that it needs, and those that a test gives it.
"""

import os
import subprocess
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from .process import PATIENCE, Process, Service

UNITS = Path("/lib/systemd/system")
NEEDED = ("basic.target", "sysinit.target", "shutdown.target", "umount.target", "multi-user.target",
          "network-online.target", "systemd-journald.service", "systemd-journald.socket",
          "systemd-journald-dev-log.socket")

# What happens before systemd, in a container that sees the machine's files. First what is common to
# all, then the files of another Debian, which take their place except for the folders $SHARED.
BEGIN = r"""
set -e
mount --make-rprivate /
umount -R /sys/fs/cgroup
mount -t tmpfs tmpfs /run
"""
OVERLAY = r"""
mkdir /run/upper /run/work /run/root
mount -t overlay overlay -o lowerdir=$ROOT,upperdir=/run/upper,workdir=/run/work /run/root
cd /run/root
mount -t proc proc proc
"""
DEVICES = r"""
for folder in /dev /sys $SHARED; do mkdir -p /run/root$folder; mount --rbind $folder /run/root$folder; done
"""
ENTER = r"""
pivot_root . mnt
umount -l /mnt
mount -t tmpfs tmpfs /run
"""
PROC = r"""
mount -t proc proc /proc
"""
FEW_UNITS = r"""
cp -a /etc /run/etc
rm -rf /run/etc/systemd/system/* /run/etc/machine-id
for folder in local varlib varlog; do mkdir /run/$folder; done
mkdir -p /run/local/bin /run/local/lib
mount --bind /run/etc /etc
mount --bind /run/local /usr/local
mount --bind /run/varlib /var/lib
mount --bind /run/varlog /var/log
mkdir /run/units
cp $NEEDED /run/units/
printf '[Unit]\nWants=systemd-journald.service multi-user.target\n' > /run/units/default.target
export SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/units
"""
INIT = r"""
export container=test
exec /lib/systemd/systemd --system --log-target=console
"""


class Systemd(Service):
    """The manager. A context manager: it runs within `with`."""

    _namespaces = ("pid", "mount", "cgroup", "uts", "ipc")
    _command_seconds = 60

    def __init__(self, folder: Path, root: Path | None = None, *, shared: Iterable[Path] = ()):
        """Describes it. What it says itself goes into a file of the folder.

        - `root`: where the files of another Debian are
        - `shared`: folders that it sees all the same
        """
        self._root, self._shared = root, shared
        self._boot = BEGIN + (OVERLAY + DEVICES + ENTER if root else PROC) + FEW_UNITS + INIT
        self._log = folder / "systemd.log"
        self._name = f"easy-invite-test-{uuid.uuid4().hex[:8]}"
        self._groups: list[Path] = []
        self._init: int | None = None
        self._environment: Mapping[str, str] = os.environ

    def start(self) -> None:
        """Boots it."""
        # A control group of its own in each hierarchy, so that it rules over nothing else.
        self._groups = [group / self._name for group in _control_groups()]
        for group in self._groups:
            group.mkdir()
        join = "".join(f"echo $$ > {group}/cgroup.procs; " for group in self._groups)
        unshare = " ".join(["unshare --fork --kill-child", *(f"--{kind}" for kind in self._namespaces)])
        needed = " ".join(str(UNITS / name) for name in NEEDED)
        environment = {**self._environment, "NEEDED": needed, "BOOT": self._boot, "ROOT": str(self._root or ""),
                       "SHARED": " ".join(map(str, self._shared))}
        self._process = Process("systemd", ["sh", "-c", f'{join} exec {unshare} bash -c "$BOOT"'], self._log,
                                environment=environment)
        self._process.wait_until(self._is_running, PATIENCE, "a running system")

    def stop(self) -> None:
        """Ends it with all that it runs."""
        self.kill()
        deadline = time.monotonic() + PATIENCE
        while any(group.exists() for group in self._groups):
            for folder in (folder for group in self._groups for folder, _, _ in os.walk(group, topdown=False)):
                try:
                    os.rmdir(folder)
                except OSError:  # a process there has not ended yet
                    if time.monotonic() > deadline:
                        raise
            time.sleep(0.02)

    def kill(self) -> None:
        """Ends process 1, and so the kernel ends all others."""
        if self._init:
            os.kill(self._init, 9)
        super().kill()

    def run(self, *command: str | Path, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command as root in the container."""
        enter = ["nsenter", f"--target={self._init}", *(f"--{kind}" for kind in self._namespaces)]
        return subprocess.run([*enter, *map(str, command)], input=input or "", capture_output=True, text=True,
                              env=self._environment, timeout=self._command_seconds)

    def shell(self, script: str) -> str:
        """Runs lines for a shell there, which must not fail, and returns what they print."""
        done = self.run("sh", "-ec", script)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def show(self, unit: str, property: str) -> str:
        """A property of a unit."""
        return self.shell(f"systemctl show --property {property} --value {unit}").strip()

    def _is_running(self) -> bool:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children or Path(f"/proc/{children[0]}/comm").read_text().strip() != "systemd":
            return False
        self._init = int(children[0])
        return self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")


def _control_groups() -> list[Path]:
    """The folders of the control groups in which this process is."""
    hierarchies = [line.rstrip("\n").split(":", 2) for line in Path("/proc/self/cgroup").open()]
    mounts = [line.split() for line in Path("/proc/mounts").open()]
    found = []
    for _, controllers, path in hierarchies:
        for _, folder, kind, options, *_ in mounts:
            is_it = kind == "cgroup2" if not controllers else (
                kind == "cgroup" and set(controllers.split(",")) <= set(options.split(",")))
            if is_it:
                found.append(Path(folder + path.rstrip("/")))
                break
    return found
