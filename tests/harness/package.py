"""Debian's package, and what an operator does with it by the README."""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from .daemon import REPOSITORY
from .machine import Debian
from .process import PATIENCE, ProcessFailed
from .stories import Invite

INSTALL = (REPOSITORY / "README.md").read_text().split("\n## Install\n")[1]
COMMANDS = re.search(r"^```\w*\n(.*?)^```$", INSTALL, re.MULTILINE | re.DOTALL)[1].strip().splitlines()
"""What the README has an operator type, from the package to the first link."""

FILE = re.search(r"\S+\.deb", COMMANDS[0])[0]
CONFIG = "/etc/easy-invite/config.toml"


# olivia, the operator, has sudo.
OPERATOR = """
getent passwd olivia >/dev/null || useradd --create-home olivia
echo 'olivia ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/olivia
"""

# Every public server has a certificate. Without one, Prosody offers clients nothing.
CERTIFICATE = """
cd /etc/prosody/certs
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=example.org -days 30 \
    -addext subjectAltName=DNS:example.org,DNS:localhost -keyout example.org.key -out example.org.crt 2>&1
chgrp prosody example.org.*
chmod 640 example.org.*
"""


def deb() -> Path:
    """The package that scripts/package has built."""
    built = list((REPOSITORY / "dist").glob("*.deb"))
    if len(built) != 1:
        raise ProcessFailed(f"there is not one package in {REPOSITORY}/dist, but {built}: run scripts/package first")
    return built[0]


def later_version(folder: Path) -> Path:
    """The same package under a higher version, and its program in another file."""
    unpacked = folder / "later"
    subprocess.run(["dpkg-deb", "--raw-extract", deb(), unpacked], check=True)
    control = unpacked / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: (.*)$", r"Version: \1+later", control.read_text()))
    made = folder / "easy-invite_later.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", unpacked, made], check=True,
                   stdout=subprocess.DEVNULL)
    return made


def bring(machine: Debian, package: Path | None = None) -> None:
    """Puts the package where the operator's shell is, under the README's name."""
    machine.shell(OPERATOR)
    machine.copy_in(package or deb(), f"/home/olivia/{FILE}")


def type_in(machine: Debian, command: str) -> str:
    """The operator types a command, and says yes if it asks. Returns what it prints; it must not fail."""
    done = machine.run("runuser", "--login", "olivia", "--command", command, input="y\n")
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def follow_readme(machine: Debian, typed: Callable[[str, float], object] = lambda command, seconds: None) -> Invite:
    """From a machine without the package to the first link.
    `typed` hears of each command and how long it took."""
    bring(machine)
    for command in COMMANDS:
        begin = time.monotonic()
        said = type_in(machine, command)
        typed(command, time.monotonic() - begin)
        if command == COMMANDS[0]:
            machine.shell(CERTIFICATE)
    wait_until_it_serves(machine)
    return Invite(re.search(r"xmpp:\S+", said)[0])


def wait_until_it_serves(machine: Debian) -> None:
    """Prosody takes a moment to start, and the daemon another one to find it."""
    machine.shell(f"timeout {PATIENCE} sh -c 'until easy-invite check; do sleep 0.2; done'")


def generate(machine: Debian, *options: str) -> Invite:
    """The operator makes a link."""
    return Invite(re.search(r"xmpp:\S+", machine.shell(" ".join(["easy-invite generate example.org", *options])))[0])
