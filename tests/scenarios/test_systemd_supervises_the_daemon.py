"""contrib/easy-invite.service on the real systemd of Debian 12 and 13, installed as the README says:
`systemctl` tells the truth about a start, a reload and a daemon that hangs or is gone, and starts
nothing again and again in vain."""

import asyncio
import re

import pytest

from harness.daemon import REPOSITORY, binary_path
from harness.debian import debian_13
from harness.server import Server
from harness.stories import conclusive, eventually
from harness.systemd import Systemd
from harness.xmpp import StanzaError

pytestmark = pytest.mark.one_setup

CONFIG = "/etc/easy-invite/config.toml"


@pytest.fixture(scope="module", params=["12", "13"], ids=["debian-12", "debian-13"])
def system(request, tmp_path_factory):
    root = debian_13() if request.param == "13" else None
    folder, shared = tmp_path_factory.mktemp("systemd"), {REPOSITORY, binary_path().parent}
    with Systemd(folder, root, shared=shared) as running:
        running.shell(f"install -m 755 {binary_path()} /usr/local/bin/easy-invite")
        commands = re.search(r"^```\n(sudo useradd .*?)^```", (REPOSITORY / "README.md").read_text(), re.S | re.M)[1]
        running.shell(commands.replace("sudo ", ""))
        running.shell(f"cp {REPOSITORY}/contrib/easy-invite.service /etc/systemd/system/; systemctl daemon-reload")
        yield running


@pytest.fixture(scope="module")
def server(prosody_version, tmp_path_factory):
    with Server(prosody_version, tmp_path_factory.mktemp("server"), run_daemon=False) as running:
        yield running


@pytest.fixture
def unit(system, server):
    """The started unit, with the secret and the port of a running Prosody."""
    port, secret = server.prosody.component_port, server.prosody.components["invite.example.org"]
    system.shell(f"""
        test -e {CONFIG}.first || cp -p {CONFIG} {CONFIG}.first
        cp -p {CONFIG}.first {CONFIG}
        sed -i 's/^#server = .*/server = "127.0.0.1:{port}"/; s/^secret = .*/secret = "{secret}"/' {CONFIG}
        systemctl reset-failed easy-invite || true
        systemctl restart easy-invite
    """)
    return system


def change(system, what):
    system.shell(f"sed -i '{what}' {CONFIG}")


async def test_it_starts_as_its_own_user_and_says_how_it_stands(unit):
    assert unit.shell(f"stat -c '%U:%G %a' {CONFIG}").strip() == "root:easy-invite 640"
    assert unit.show("easy-invite", "ActiveState") == "active"
    pid = unit.show("easy-invite", "MainPID")
    assert unit.shell(f"stat -c %U /proc/{pid}").strip() == "easy-invite"
    status = lambda: unit.run("systemctl", "status", "easy-invite").stdout
    await eventually(lambda: 'Status: "serving example.org"' in status(), "the status is good")
    checked = unit.run("easy-invite", "check")
    assert checked.returncode == 0, checked.stdout
    assert "WARN" not in unit.shell(f"journalctl -u easy-invite -o cat _PID={pid}")


async def test_the_unit_is_what_systemd_knows_and_leaves_little_open(unit):
    file = "/etc/systemd/system/easy-invite.service"
    verified = unit.run("systemd-analyze", "verify", file)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    most = 12  # of 100: an exposure of 1.2
    judged = unit.run("systemd-analyze", "security", "--offline=true", f"--threshold={most}", file)
    assert judged.returncode == 0, judged.stdout


async def test_a_first_configuration_in_a_folder_of_the_daemons_is_its_own(unit):
    unit.shell("install -d -o easy-invite /run/own; easy-invite init --output /run/own/config.toml")
    assert unit.shell("stat -c '%U:%G %a' /run/own/config.toml").strip() == "easy-invite:root 600"


async def test_a_reload_takes_over_and_the_daemon_lives_on(unit):
    pid = unit.show("easy-invite", "MainPID")
    change(unit, 's/^#expire_after = .*/expire_after = "1d"/')
    unit.shell("systemctl reload easy-invite")
    await eventually(lambda: unit.show("easy-invite", "SubState") == "running", "it has reloaded")
    log = unit.shell(f"journalctl -u easy-invite -o cat _PID={pid}")
    assert "read anew" in log and unit.show("easy-invite", "MainPID") == pid
    change(unit, 's/^expire_after = .*/expire_after = "soon"/')
    unit.shell("systemctl reload easy-invite")
    await eventually(lambda: "expire_after" in unit.show("easy-invite", "StatusText"), "the status has the problem")
    assert unit.show("easy-invite", "MainPID") == pid
    assert unit.run("easy-invite", "check").returncode == 1


async def test_fail2ban_finds_in_the_journal_who_guesses(unit, server):
    """Set up as docs/security.md says. What it does with them goes into a file."""
    docs = (REPOSITORY / "docs" / "security.md").read_text()
    commands = re.findall("^sudo (cp .*contrib/fail2ban.*)$", docs, re.M)
    unit.shell(f"cd {REPOSITORY}\n" + "\n".join(commands))
    unit.shell("""
        mkdir /run/fail2ban
        printf '[DEFAULT]\\nbanaction = dummy\\n[sshd]\\nenabled = false\\n' > /etc/fail2ban/jail.local
        printf '[Definition]\\ndbfile = None\\nlogtarget = /run/fail2ban/log\\n' > /etc/fail2ban/fail2ban.local
        fail2ban-client start
    """)
    for _ in range(20):
        async with await server.connect(source="127.0.0.2") as stream:
            with pytest.raises(StanzaError):
                await stream.preauth("A" * 24)
    banned = lambda: unit.run("cat", "/run/fail2ban/fail2ban.dummy").stdout
    await eventually(lambda: "+127.0.0.2" in banned(), "it is banned")
    unit.shell("fail2ban-client stop")


async def test_a_typo_fails_the_start_with_its_line_and_is_not_tried_again(unit):
    change(unit, "s/^jid = /jit = /")
    failed = unit.run("systemctl", "restart", "easy-invite")
    assert failed.returncode != 0
    assert unit.show("easy-invite", "ExecMainStatus") == "78"
    await asyncio.sleep(7)  # longer than RestartSec
    assert unit.show("easy-invite", "ActiveState") == "failed"
    assert unit.show("easy-invite", "NRestarts") == "0"
    status = unit.run("systemctl", "status", "easy-invite").stdout
    assert re.search(r'Status: "/etc/easy-invite/config.toml:\d+: component.jit: unknown key', status), status
    errors = unit.shell("journalctl -u easy-invite -p err -o cat")
    assert "component.jit" in errors


async def restarted_with(unit, *lines):
    """Restarts the unit with these lines instead of its own in [Service], and waits until it serves."""
    lines = "\n".join(["[Service]", *lines])
    unit.shell(f"""
        mkdir -p /etc/systemd/system/easy-invite.service.d
        echo '{lines}' > /etc/systemd/system/easy-invite.service.d/changed.conf
        systemctl daemon-reload; systemctl restart easy-invite
    """)
    await eventually(lambda: unit.show("easy-invite", "StatusText") == "serving example.org", "it serves")


async def kill(unit):
    unit.shell("kill -KILL " + unit.show("easy-invite", "MainPID"))


def check_blames_the_daemon(unit):
    checked = unit.run("easy-invite", "check")
    assert checked.returncode == 1 and re.search("^daemon +FAILED", checked.stdout, re.M), checked.stdout
    assert " ok " not in checked.stdout, checked.stdout


async def test_a_daemon_that_is_gone_is_shown_as_such_and_started_again(unit):
    await restarted_with(unit, "RestartSec=1h")
    await kill(unit)
    await eventually(lambda: unit.show("easy-invite", "SubState") == "auto-restart", "systemd waits to start it")
    assert unit.run("systemctl", "is-active", "easy-invite").returncode != 0
    check_blames_the_daemon(unit)
    await restarted_with(unit)
    await kill(unit)
    await eventually(lambda: unit.show("easy-invite", "NRestarts") == "1", "systemd starts another daemon")
    await eventually(lambda: unit.show("easy-invite", "ActiveState") == "active", "it runs")
    await eventually(lambda: unit.show("easy-invite", "StatusText") == "serving example.org", "it serves")
    assert unit.run("easy-invite", "check").returncode == 0
    unit.shell("systemctl stop easy-invite")
    assert unit.show("easy-invite", "ActiveState") == "inactive"
    assert "serving" not in unit.run("systemctl", "status", "easy-invite").stdout
    check_blames_the_daemon(unit)


@pytest.mark.seconds(90)
async def test_a_daemon_that_hangs_is_replaced(unit):
    await restarted_with(unit, "WatchdogSec=1h")
    unit.shell("kill -STOP " + unit.show("easy-invite", "MainPID"))
    check_blames_the_daemon(unit)
    unit.shell("kill -KILL " + unit.show("easy-invite", "MainPID"))

    await restarted_with(unit, "WatchdogSec=2", "RestartSec=1")

    async def is_left_alone():
        pid = unit.show("easy-invite", "MainPID")
        await asyncio.sleep(3)  # longer than the watchdog waits
        return unit.show("easy-invite", "MainPID") == pid

    await conclusive(is_left_alone, "a daemon that serves is left alone")
    pid, restarts = unit.show("easy-invite", "MainPID"), int(unit.show("easy-invite", "NRestarts"))
    unit.shell(f"kill -STOP {pid}")
    await eventually(lambda: int(unit.show("easy-invite", "NRestarts")) > restarts, "another daemon runs")
    await eventually(lambda: unit.show("easy-invite", "StatusText") == "serving example.org", "it serves")
    assert unit.show("easy-invite", "MainPID") != pid
    await restarted_with(unit)


@pytest.mark.seconds(90)
async def test_a_start_that_fails_for_another_reason_is_tried_some_times(unit):
    await restarted_with(unit, "RestartSec=100ms")
    unit.shell("""
        systemctl stop easy-invite
        rm -rf /var/lib/easy-invite/easy-invite.db*; mkdir /var/lib/easy-invite/easy-invite.db.sock
        systemctl start easy-invite || true
    """)
    await eventually(lambda: unit.show("easy-invite", "Result") == "start-limit-hit"
                     or unit.show("easy-invite", "ActiveState") == "failed", "systemd gives up")
    assert 3 <= int(unit.show("easy-invite", "NRestarts")) <= 20
    assert "easy-invite.db.sock" in unit.run("systemctl", "status", "easy-invite").stdout
    unit.shell("rmdir /var/lib/easy-invite/easy-invite.db.sock; systemctl reset-failed easy-invite")
    await restarted_with(unit)
