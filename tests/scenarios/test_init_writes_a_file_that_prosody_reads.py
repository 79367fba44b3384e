"""`easy-invite init --output-prosody` beside Debian's own configuration of Prosody, which has
Prosody's own invites for all hosts. What it writes, with the changes that it asks for, lets people
in by invite, and changes nothing else."""

import re
import subprocess
from pathlib import Path

from harness.stories import generate, register

SETTINGS_OF_THE_TEST = re.compile(
    r"^(?:\w+_ports|\w+_interfaces|run_as_root|pidfile|data_path|plugin_paths|log|c2s_require_encryption|"
    r"allow_unencrypted_plain_auth) = .*$", re.MULTILINE)
REPLACES = re.compile(r" *-- In place of .* in (.*), line (\d+):")
REMOVES = re.compile(r" *-- Take .* out of (.*), line (\d+)\.")
HOSTS = '''\
VirtualHost "example.org"
    modules_enabled = { "version" }
    allow_registration = true
    modules_disabled = { "uptime" }

VirtualHost "example.net"
    modules_enabled = { "version" }
'''


def as_debian_has_it(server, folder: Path) -> Path:
    """Gives Prosody the configuration of Debian's package, with the ports and folders of this test
    in a file of conf.d. Returns that folder."""
    prosody = server.prosody
    subprocess.run(prosody.command("cp", "--recursive", "/etc/prosody", folder), check=True)
    settings = SETTINGS_OF_THE_TEST.findall(prosody.config_file.read_text())
    # A component has Prosody open the port for which the harness waits.
    lines = [*settings, 'modules_disabled = { "s2s" }', 'Component "other.example.net"', 'component_secret = "other"']
    (folder / "conf.d" / "test.cfg.lua").write_text("\n".join(lines) + "\n")
    prosody.config_file = folder / "prosody.cfg.lua"
    prosody.write_config = lambda: None
    return folder / "conf.d"


def init(server, file: Path) -> str:
    """Writes both files, and returns the changes that are left to the operator."""
    prosody, config = server.prosody, file.parent / "config.toml"
    done = subprocess.run(
        [server.daemon.binary, "init", "--output", config, "--output-prosody", file, "--prosody", prosody.config_file],
        capture_output=True, text=True)
    assert done.returncode == 0 and "Include" not in done.stderr, done.stderr
    port = f'server = "127.0.0.1:{prosody.component_port}"'
    server.daemon.config = config.read_text().replace('#server = "127.0.0.1:5347"', port)
    return done.stdout


def complaints(server) -> set[str]:
    """What Prosody's own check says of the configuration, without the list of its files."""
    _, said, _ = server.prosody.prosodyctl("check", "config")
    return {line for line in said.splitlines() if ".cfg.lua" not in line and "ongratulations" not in line}


def follow(changes: str) -> None:
    """Makes the changes, each in the line that it names."""
    place = None
    for line in changes.splitlines():
        if found := REPLACES.fullmatch(line) or REMOVES.fullmatch(line):
            place = (Path(found[1]), int(found[2]) - 1)
        if not REPLACES.fullmatch(line):
            file, number = place
            lines = file.read_text().splitlines()
            lines[number] = line
            file.write_text("\n".join(lines) + "\n")


def modules_of(server, host: str) -> set[str]:
    return set(re.findall(r"^\W* {4}(\w+)", server.prosody.shell(f'module:list("{host}")'), re.MULTILINE))


async def assert_it_works(server, before):
    """After a restart: without new complaints of Prosody's, a friend registers."""
    assert complaints(server) <= before
    server.prosody.restart()
    server.daemon.start()
    checked = server.daemon.cli("check")
    assert checked.returncode == 0 and "WARN" not in checked.stdout, checked.stdout
    await register(server, "carol", generate(server))


async def test_for_a_host_that_prosody_does_not_have(make_server, tmp_path):
    server = make_server(run_daemon=False)
    folder = as_debian_has_it(server, tmp_path / "etc")
    before = complaints(server)
    server.prosody.restart()
    of_localhost = modules_of(server, "localhost")
    assert {"invites", "invites_register"} <= of_localhost

    assert init(server, folder / "easy-invite.cfg.lua") == ""
    await assert_it_works(server, before)
    assert modules_of(server, "localhost") == of_localhost


async def test_for_one_of_two_hosts_with_lists_of_their_own(make_server, tmp_path):
    server = make_server(run_daemon=False)
    folder = as_debian_has_it(server, tmp_path / "etc")
    available = tmp_path / "etc" / "conf.avail" / "hosts.cfg.lua"
    available.write_text(HOSTS)
    (folder / "hosts.cfg.lua").symlink_to("../conf.avail/hosts.cfg.lua")
    server.prosody.restart()
    of_both = [modules_of(server, host) for host in ("example.org", "example.net")]
    before = complaints(server)

    changes = init(server, folder / "easy-invite.cfg.lua")
    follow(changes)
    assert "allow_registration = true" not in available.read_text()
    await assert_it_works(server, before)
    ours, others = (modules_of(server, host) for host in ("example.org", "example.net"))
    assert others == of_both[1] and "version" in ours and "uptime" not in ours
    # The last one came with allow_registration.
    assert of_both[0] - ours == {"invites", "invites_adhoc", "invites_register", "watchregistrations"}
