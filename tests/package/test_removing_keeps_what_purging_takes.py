"""`apt remove` leaves the configuration, the store and the user, and `apt install` makes all of it
work again. `apt purge` leaves no file. Prosody goes on all the while, and lets nobody in by itself."""

import re

import pytest

from harness.machine import Debian
from harness.package import COMMANDS, CONFIG, follow_readme, generate, type_in, wait_until_it_serves
from harness.stories import has_account, register, registers
from harness.xmpp import StanzaError

pytestmark = pytest.mark.seconds(180)

STORE = "/var/lib/easy-invite/easy-invite.db"
# What apt, dpkg, systemd and others keep of their own work, what Prosody keeps of its users, and
# what the test itself brings.
KEPT = re.compile(r"""
    /var/lib/(apt|dpkg|systemd|prosody|dbus)/ | /var/cache/(apt|debconf|man|ldconfig)/ | /var/log/ | /tmp/ | /var/tmp/
    | /home/ | /etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$ | /etc/sudoers.d/olivia$ | /var/mail/olivia$
    | /var/lib/sudo/ | /etc/prosody/certs/example | /root/
""", re.VERBOSE)


def files_of(machine):
    """All files and folders that stay after a reboot, each with its kind, owner and rights."""
    found = machine.shell(r"find / -xdev -path /packages -prune -o -printf '%p\t%y %u:%g %m\n'").splitlines()
    return {path: how for path, how in (line.split("\t") for line in found) if not KEPT.match(path + "/")
            and not KEPT.match(path)}


@pytest.fixture(scope="module")
def before():
    """The files of the machine before the package came."""
    return {}


@pytest.fixture(scope="module")
def served(suite, before):
    with Debian(suite) as running:
        before[suite] = files_of(running)
        follow_readme(running)
        yield running


async def check_nobody_gets_in(machine, link):
    assert not await registers(machine, "mallory", None)
    assert not await registers(machine, "mallory", link)


@pytest.fixture(scope="module")
def link(served):
    """A link from before all of this."""
    return generate(served)


async def test_after_a_removal_prosody_goes_on_and_lets_nobody_in(served, link):
    await register(served, "friend", generate(served))
    kept = served.shell(f"sha256sum {CONFIG} /etc/prosody/conf.d/easy-invite.cfg.lua")
    type_in(served, "sudo apt remove easy-invite")
    assert served.run("systemctl", "is-active", "easy-invite").returncode != 0
    assert served.run("sh", "-c", "command -v easy-invite").returncode != 0
    await check_nobody_gets_in(served, link)
    served.shell("systemctl restart prosody")
    await check_nobody_gets_in(served, link)
    assert await has_account(served, "friend")
    assert served.shell(f"sha256sum {CONFIG} /etc/prosody/conf.d/easy-invite.cfg.lua") == kept
    assert served.shell(f"stat -c %U {STORE}").strip() == "easy-invite"


async def test_another_install_makes_all_of_it_work_again(served, link):
    said = type_in(served, COMMANDS[0])
    assert served.show("easy-invite", "UnitFileState") == "enabled"
    next = re.search("easy-invite: for Prosody to load .*: (sudo .*)", said)[1]
    assert "start easy-invite" in next
    type_in(served, next)
    wait_until_it_serves(served)
    await register(served, "second", link)
    with pytest.raises(StanzaError):
        await register(served, "mallory", link)
    assert await has_account(served, "friend") and await has_account(served, "second")


async def test_after_a_purge_no_file_is_left(served, before, suite):
    ours = "find /var/lib/prosody -path '*easy*invite*'"
    assert served.shell(ours) != ""
    type_in(served, "sudo apt purge easy-invite")
    assert served.shell(ours) == ""
    after = files_of(served)
    left = {path: how for path, how in after.items() if before[suite].get(path) != how}
    assert left == {}
    assert before[suite].keys() - after.keys() == set()
    assert served.shell("find /var/lib/systemd -path '*easy*invite*'") == ""
    assert served.shell("getent passwd easy-invite").startswith("easy-invite:")
    assert served.shell("systemctl --failed --plain --no-legend; systemctl list-unit-files 'easy-invite*' --no-legend"
                        " || true") == ""


async def test_after_a_purge_prosody_goes_on_and_lets_nobody_in(served):
    served.shell("systemctl restart prosody")
    assert served.show("prosody", "ActiveState") == "active"
    stream = await served.connect("localhost")
    with pytest.raises(StanzaError):
        await stream.registration_set("mallory", "mallory's password")
    assert "easy_invite" not in served.shell("tac /var/log/prosody/prosody.log | sed '/Hello and welcome/q'")


async def test_it_can_be_purged_without_a_configuration(served):
    type_in(served, COMMANDS[0])
    type_in(served, "sudo apt purge easy-invite")
    assert served.run("dpkg", "--status", "easy-invite").returncode != 0


async def test_a_purge_says_how_users_can_go_on_to_log_in(served):
    """The VirtualHost that `init` wrote goes with its file."""
    for command in COMMANDS[:2]:
        type_in(served, command)
    said = type_in(served, "sudo apt purge easy-invite")
    type_in(served, re.search(r"the users of example.org cannot log in, .*:\n *(.*)", said)[1])
    served.shell("systemctl restart prosody")
    assert await has_account(served, "friend")
    for command in COMMANDS[:2]:
        type_in(served, command)
    said = type_in(served, "sudo apt purge easy-invite")
    assert "cannot log in" not in said and "still has lines" not in said


async def test_a_purge_names_other_files_with_lines_for_it(served):
    for command in COMMANDS[:2]:
        type_in(served, command)
    second = "/etc/prosody/conf.d/second.cfg.lua"
    served.shell(f"""
        echo '[hosts."example.net"]' >> {CONFIG}
        easy-invite init --host example.net --output {CONFIG} --output-prosody {second}
        echo '-- easy_invite was here' > /etc/prosody/conf.d/other.cfg.lua
    """)
    said = type_in(served, "sudo apt purge easy-invite")
    assert re.findall(r"easy-invite: (\S+) still has lines for easy-invite", said) == [second], said
    served.shell(f"rm {second} /etc/prosody/conf.d/other.cfg.lua")
