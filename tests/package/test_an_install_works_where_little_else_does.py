"""An install that was cut off goes on, one in a chroot waits for the machine to boot, and the
daemon and its commands need no /usr that can be written."""

import pytest

from harness.package import COMMANDS, FILE, bring, follow_readme, generate, type_in, wait_until_it_serves
from harness.stories import has_account, register

pytestmark = pytest.mark.seconds(300)

DPKG_STATUS = "dpkg-query --show --showformat '${db:Status-Status}' easy-invite"


async def check_it_serves(machine, name):
    await register(machine, name, generate(machine))
    assert await has_account(machine, name)


async def test_an_install_that_was_cut_off_goes_on(machine):
    bring(machine)
    machine.shell(f"dpkg --unpack /home/olivia/{FILE}")
    assert machine.shell(DPKG_STATUS) == "unpacked"
    follow_readme(machine)
    await check_it_serves(machine, "friend")
    for seconds in (0.1, 0.5, 1):
        machine.run("timeout", "--signal", "KILL", str(seconds), "dpkg", "--install", f"/home/olivia/{FILE}")
        machine.run("dpkg", "--configure", "-a")  # which apt asks for. It fails if the files are not all there
        type_in(machine, COMMANDS[0].replace("install", "install --reinstall"))
        assert machine.shell(DPKG_STATUS) == "installed"
    wait_until_it_serves(machine)
    await check_it_serves(machine, "second")


async def test_an_install_in_a_chroot_waits_for_the_machine_to_boot(machine):
    bring(machine)
    chroot = "mount -t tmpfs tmpfs /run; mount -t proc proc /proc; cd /home/olivia; "
    done = machine.run("unshare", "--mount", "--pid", "--fork", "sh", "-ec", chroot + COMMANDS[0].removeprefix("sudo "))
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.shell("getent passwd easy-invite").endswith(":/usr/sbin/nologin\n")
    machine.shell("systemctl daemon-reload")  # as a boot does
    follow_readme(machine)
    await check_it_serves(machine, "friend")


async def test_a_usr_that_cannot_be_written_is_no_hindrance(machine):
    follow_readme(machine)
    machine.shell("mount --bind /usr /usr; mount -o remount,bind,ro /usr; systemctl restart easy-invite prosody")
    wait_until_it_serves(machine)
    await check_it_serves(machine, "friend")
    failed = machine.run("apt-get", "install", "--reinstall", "--yes", f"/home/olivia/{FILE}")
    assert failed.returncode != 0 and "Read-only file system" in failed.stdout + failed.stderr
    await check_it_serves(machine, "second")
    machine.shell("mount -o remount,bind,rw /usr")
    type_in(machine, COMMANDS[0].replace("install", "install --reinstall"))
    wait_until_it_serves(machine)
