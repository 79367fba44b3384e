"""The package's unit on Debian's own systemd: it starts, tells how it stands, reads a changed
configuration, stops, and leaves little open. Nothing of that keeps a command from its work."""

import pytest

from harness.package import CONFIG, generate, wait_until_it_serves
from harness.stories import eventually, has_account, register

pytestmark = pytest.mark.seconds(120)

UNIT = "/usr/lib/systemd/system/easy-invite.service"


def serves(machine):
    return machine.show("easy-invite", "StatusText") == "serving example.org"


async def test_it_runs_as_its_own_user_and_says_how_it_stands(served):
    assert served.shell("realpath $(systemctl show --property FragmentPath --value easy-invite)").strip() == UNIT
    assert served.show("easy-invite", "Type") == "notify"
    assert served.show("easy-invite", "UnitFileState") == "enabled"
    await eventually(lambda: serves(served), "the status is good")
    pid = served.show("easy-invite", "MainPID")
    assert served.shell(f"readlink /proc/{pid}/exe; stat -c %U /proc/{pid}").split() == [
        "/usr/bin/easy-invite", "easy-invite"]
    assert served.shell("stat -c '%U %a' /var/lib/easy-invite").strip() == "easy-invite 700"
    assert served.shell(f"stat -c '%U:%G %a' {CONFIG}").strip() == "root:easy-invite 640"
    assert served.shell("systemctl --failed --plain --no-legend") == ""


async def test_systemd_finds_nothing_wrong_with_it_and_little_open(served):
    verified = served.run("systemd-analyze", "verify", UNIT)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    running = served.shell("systemd-analyze security easy-invite --no-pager")
    exposure = float(running.split("Overall exposure level for easy-invite.service: ")[1].split()[0])
    assert exposure <= 1.2, running


async def test_each_command_works_beside_it(served):
    link = generate(served, "--note", "first")
    for command in ("list", "tree", "log", f"show '{link.uri}'", f"edit '{link.uri}' --uses 2", "export", "check",
                    "backup /root/backup.db", f"revoke '{link.uri}'", "forget --yes nobody@example.org"):
        served.shell(f"easy-invite {command}")
    through_prosody = served.shell("prosodyctl mod_easy_invite generate example.org")
    assert "xmpp:example.org?register;preauth=" in through_prosody


async def test_a_reload_takes_over_a_changed_configuration(served):
    pid = served.show("easy-invite", "MainPID")
    served.shell(f"sed -i 's/^#expire_after = .*/expire_after = \"2d\"/' {CONFIG}; systemctl reload easy-invite")
    read = lambda: "read anew, and is in force" in served.shell(f"journalctl -u easy-invite -o cat _PID={pid}")
    await eventually(read, "it has read the configuration")
    assert served.show("easy-invite", "MainPID") == pid
    await eventually(lambda: serves(served), "it serves")


async def test_it_stops_and_starts(served):
    link = generate(served)
    served.shell("systemctl stop easy-invite")
    assert served.show("easy-invite", "ActiveState") == "inactive"
    assert served.show("easy-invite", "Result") == "success"
    served.shell("systemctl start easy-invite")
    await eventually(lambda: serves(served), "it serves")
    await register(served, "after-a-stop", link)
    assert await has_account(served, "after-a-stop")
    served.shell("systemctl restart prosody")
    wait_until_it_serves(served)
    assert served.show("easy-invite", "NRestarts") == "0"


async def test_it_comes_back_with_the_machine(served):
    link = generate(served)
    served.shell("""
        printf '[Unit]\nRequires=basic.target\nAllowIsolate=yes\n' > /run/systemd/system/little.target
        systemctl daemon-reload
        systemctl isolate little.target
    """)
    for unit in ("easy-invite", "prosody"):
        await eventually(lambda: served.show(unit, "ActiveState") == "inactive", f"{unit} has stopped", 30)
    served.shell("systemctl isolate multi-user.target")
    wait_until_it_serves(served)
    assert served.show("easy-invite", "NRestarts") == "0"
    await register(served, "after-a-boot", link)
    assert await has_account(served, "after-a-boot")
