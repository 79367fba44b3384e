"""What a machine lacks, or has already, when the package is installed: each time somebody is told what
to do, and then it works."""

import re

import pytest

from harness.package import CERTIFICATE, COMMANDS, CONFIG, FILE, bring, follow_readme, generate
from harness.stories import eventually, has_account, register

pytestmark = pytest.mark.seconds(180)

FOLDER = "/var/lib/easy-invite"


async def check_it_serves(machine):
    await eventually(lambda: machine.run("easy-invite", "check").returncode == 0, "all is well", 30)
    await register(machine, "friend", generate(machine))
    assert await has_account(machine, "friend")


async def test_a_machine_without_prosody(machine):
    machine.shell("DEBIAN_FRONTEND=noninteractive apt-get purge --yes --autoremove prosody")
    bring(machine)
    machine.shell(f"apt-get install --yes --no-install-recommends /home/olivia/{FILE}")
    told = machine.run("sh", "-c", COMMANDS[1])
    assert told.returncode == 1 and "install Prosody first (sudo apt install prosody)" in told.stderr
    machine.shell(f"easy-invite init --host example.org --output {CONFIG}")  # for a Prosody elsewhere
    machine.shell("systemctl start easy-invite")  # it waits for Prosody
    checked = machine.run("easy-invite", "check").stdout
    assert "the chat server cannot be reached at 127.0.0.1:5347" in checked and "does it run?" in checked
    generate(machine)
    machine.shell(f"systemctl stop easy-invite; rm {CONFIG}; apt-get install --yes prosody; {CERTIFICATE}")
    for command in COMMANDS[1:4]:
        machine.shell(command)
    await check_it_serves(machine)


async def test_a_prosody_that_is_too_old(machine):
    machine.shell("echo 0.11.9 > /usr/lib/prosody/prosody.version")
    bring(machine)
    machine.shell(f"apt-get install --yes /home/olivia/{FILE}")
    told = machine.run("sh", "-c", COMMANDS[1])
    assert "Prosody 0.11.9 is on this machine, and mod_easy_invite needs 0.12 or newer: upgrade" in told.stderr


async def test_a_user_of_this_name_who_can_log_in(machine):
    machine.shell("useradd --create-home --shell /bin/bash easy-invite")
    bring(machine)
    said = machine.shell(f"apt-get install --yes /home/olivia/{FILE}")
    assert "the user easy-invite, who was there before and can log in (/bin/bash)" in said
    follow_readme(machine)
    await check_it_serves(machine)


async def test_a_machine_on_which_no_user_is_made(machine):
    machine.shell("mv /usr/bin/systemd-sysusers /usr/bin/moved; ln -s true /usr/bin/systemd-sysusers")
    bring(machine)
    said = machine.shell(f"apt-get install --yes /home/olivia/{FILE}")
    assert "can log in" not in said
    mend = re.search("there is no user easy-invite for the daemon.*: (sudo .*)", said)[1]
    machine.shell(f"mv /usr/bin/moved /usr/bin/systemd-sysusers; {mend}")
    follow_readme(machine)
    await check_it_serves(machine)


async def test_a_second_host_while_the_daemon_runs(machine):
    follow_readme(machine)
    said = machine.shell(f"""
        echo '[hosts."example.net"]' >> {CONFIG}
        easy-invite init --host example.net --output {CONFIG} --output-prosody /etc/prosody/conf.d/second.cfg.lua 2>&1
    """)
    machine.shell(re.findall("easy-invite: next: (sudo .*)", said)[-1])
    await check_it_serves(machine)
    checked = machine.run("easy-invite", "check").stdout
    assert "serves example.net, example.org" in checked and "apps cannot connect to example.net" in checked, checked


@pytest.mark.parametrize("made, status, mend", [
    (f"mkdir {FOLDER}; ln -s /etc/shadow {FOLDER}/easy-invite.db; chown -Rh mallory {FOLDER}", "1",
     f"rm {FOLDER}/easy-invite.db"),
    (f"mkdir /srv/theirs; ln -s /srv/theirs {FOLDER}; chown -h mallory {FOLDER} /srv/theirs", "238", f"rm {FOLDER}"),
], ids=["of-somebody-else", "a-link"])
async def test_a_state_folder_that_was_there(machine, made, status, mend):
    machine.shell(f"useradd mallory; {made}")
    of_root = "sha256sum /etc/shadow; stat -c %U:%G:%a /etc/shadow"
    bring(machine)
    machine.shell(f"apt-get install --yes /home/olivia/{FILE}; {CERTIFICATE}")
    before = machine.shell(of_root)
    for command in COMMANDS[1:3]:
        machine.shell(command)
    assert machine.run("sh", "-c", COMMANDS[3]).returncode != 0
    assert machine.show("easy-invite", "ExecMainStatus") == status
    assert machine.shell(of_root) == before and machine.shell("ls -A /srv") in ("", "theirs\n")
    machine.shell(f"{mend}; systemctl reset-failed easy-invite; systemctl restart easy-invite")
    assert machine.shell(f"stat -c '%F %U %a' {FOLDER}") == "directory easy-invite 700\n"
    await check_it_serves(machine)


async def test_a_configuration_that_the_daemon_may_not_read(machine):
    follow_readme(machine)
    machine.shell(f"chown root:root {CONFIG}; chmod 600 {CONFIG}")
    assert machine.run("systemctl", "restart", "easy-invite").returncode != 0
    status = machine.run("systemctl", "status", "--no-pager", "--full", "easy-invite").stdout
    assert f"{CONFIG}: cannot be read: Permission denied" in status, status
    advice = re.search(r"read it: (chgrp \d+ FILE && chmod g\+r FILE)", status)
    machine.shell(advice[1].replace("FILE", CONFIG))
    machine.shell("systemctl restart easy-invite")
    await check_it_serves(machine)


async def test_a_link_that_is_made_before_the_daemon_runs(machine):
    bring(machine)
    machine.shell(f"apt-get install --yes /home/olivia/{FILE}; {CERTIFICATE}")
    machine.shell(COMMANDS[1])
    early = generate(machine)
    for command in COMMANDS[2:4]:
        machine.shell(command)
    await check_it_serves(machine)
    await register(machine, "early", early)
