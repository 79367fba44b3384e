"""A fail2ban of its own, with contrib/fail2ban, in a network of its own, where only root can start
it: what it bans there is banned nowhere else."""

import os
import shutil
import subprocess
from pathlib import Path

from .daemon import REPOSITORY
from .debian import debian_13
from .process import PATIENCE, Process, Service

CONTRIB = REPOSITORY / "contrib" / "fail2ban"
PYTHON = "/usr/bin/python3"  # for which the packages of Debian are

# Its network, and what is not installed there.
PLACE = """
ip link set lo up
for address in $ADDRESSES; do ip addr add $address dev lo nodad; done
for program in $MISSING; do mount --bind /dev/null $(readlink -f $(command -v $program)); done
"""

# Connects to this port from an address, and says whether that worked.
CONNECT = """
import socket, sys
source, family = sys.argv[1], socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listener = socket.create_server(("", 5222), family=family)
client = socket.socket(family)
client.settimeout(2)
client.bind((source, 0))
try:
    client.connect(("::1" if ":" in source else "127.0.0.1", 5222))
except OSError:
    sys.exit("refused")
"""


class Fail2ban(Service):
    """The server. A context manager: it runs within `with`."""

    def __init__(self, debian: int, folder: Path, log: Path, *, addresses: tuple[str, ...], missing: tuple[str, ...],
                 default: str = ""):
        """Describes the one of this Debian, which reads this log.

        - `addresses`: those in its network, besides those of every machine
        - `missing`: programs that are not installed
        - `default`: lines in the section [DEFAULT], as an operator may have them
        """
        self._folder, self._addresses, self._missing = folder, addresses, missing
        self._programs, self._environment = Path("/usr/bin"), dict(os.environ)
        installed = Path("/etc/fail2ban")
        if debian == 13:
            root = debian_13()
            self._programs, installed = root / "usr/bin", root / "etc/fail2ban"
            self._environment["PYTHONPATH"] = str(root / "usr/lib/python3/dist-packages")
        shutil.copytree(installed, folder)
        for file in CONTRIB.glob("*.d/*"):
            shutil.copy(file, folder / file.parent.name)
        (folder / "fail2ban.local").write_text("[Definition]\ndbfile = None\n")
        (folder / "jail.local").write_text(f"[DEFAULT]\n{default}\n[sshd]\nenabled = false\n"
                                           f"[easy-invite]\nbackend = polling\nlogpath = {log}\n")

    def start(self) -> None:
        """Starts it."""
        run = (f"{PLACE} exec {PYTHON} {self._programs}/fail2ban-server -f -c {self._folder} "
               f"-s {self._folder}/sock -p {self._folder}/pid --logtarget stdout")
        environment = {**self._environment, "ADDRESSES": " ".join(self._addresses), "MISSING": " ".join(self._missing)}
        command = ["unshare", "--net", "--mount", "sh", "-c", run]
        self._process = Process("fail2ban", command, self._folder / "fail2ban.log", environment=environment)
        self._process.wait_until(lambda: "Jail 'easy-invite' started" in self._process.log, PATIENCE, "a jail")

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._process.log

    def lets_in(self, address: str) -> bool:
        """Whether somebody with this address can connect to the chat server's port."""
        inside = ["nsenter", "--net", "--target", str(self.pid)]
        return subprocess.run([*inside, PYTHON, "-c", CONNECT, address], capture_output=True).returncode == 0
