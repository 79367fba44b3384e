"""An operator who follows the lines of `easy-invite init` word by word keeps the settings that
Prosody's configuration has: a VirtualHost's own modules, and folders with modules."""

import re
import subprocess
from pathlib import Path

MARKED = 'module:log("info", "%s is loaded here");\n'
REPLACES = re.compile(r"-- In place of .* in (.*), line (\d+)")
IS_THERE = re.compile(r"-- This one is there, (.*), line (\d+)")


def follow(printed: str, config_file: Path) -> None:
    """Does what the lines say: each setting takes the place that is named,
    or comes below the host that is there, or at the top."""
    edits: list[tuple[Path, int, str, bool]] = []
    host, place = None, None
    for line in printed.splitlines():
        if found := REPLACES.search(line):
            place = (Path(found[1]), int(found[2]), True)
        elif found := IS_THERE.search(line):
            host = (Path(found[1]), int(found[2]), False)
        elif " = " in line and not line.strip().startswith("--"):
            file, number, replaces = place or host or (config_file, 0, False)
            edits.append((file, number, line, replaces))
            place = None
    for file, number, line, replaces in sorted(edits, key=lambda edit: -edit[1]):
        lines = file.read_text().splitlines()
        lines[number - replaces:number] = [line]
        file.write_text("\n".join(lines) + "\n")


async def test_by_an_operator_who_follows_them(make_server, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    for name in ("of_all", "of_the_host"):
        (old / f"mod_kept_{name}.lua").write_text(MARKED % name)
    (tmp_path / "example.cfg.lua").write_text(
        'VirtualHost "example.org"\n'
        'modules_enabled = { "kept_of_the_host" }; -- our own\n'
        'modules_disabled = { "time" }\n')
    server = make_server(
        run_daemon=False, module_folder=old, hosts={"example.org": "", "example.net": ""},
        modules=["disco", "roster", "saslauth", "time", "register", "admin_shell", "kept_of_all",
                 "invites", "invites_adhoc", "invites_register"],
        last_lines=f'Include "{tmp_path}/*.cfg.lua"')
    prosody, daemon = server.prosody, server.daemon
    installed = daemon.cli("prosody-module", "--install", str(new), "--prosody", str(prosody.config_file))
    assert "needs this folder. In place of plugin_paths" in installed.stderr, installed.stderr
    done = subprocess.run(
        [daemon.binary, "init", "--host", "example.org", "--output", tmp_path / "config.toml",
         "--prosody", prosody.config_file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    follow(done.stdout.replace("/usr/local/lib/prosody/modules", str(new)), prosody.config_file)
    prosody.write_config = lambda: None  # it is the operator's now
    before = len(prosody.log)
    prosody.restart()
    log = prosody.log[before:]
    for kept in ("example.org:kept_of_the_host", "example.org:kept_of_all", "example.net:kept_of_all"):
        assert f"{kept}\tinfo" in log, f"{kept} is not loaded any more"
    assert "uptime" not in log and "example.org:time" not in log

    config = (tmp_path / "config.toml").read_text()
    daemon.config = config.replace('#server = "127.0.0.1:5347"', f'server = "127.0.0.1:{prosody.component_port}"')
    daemon.start()
    checked = daemon.cli("check")
    assert checked.returncode == 0 and "WARN" not in checked.stdout, checked.stdout
    assert re.search(f"mod_easy_invite .* in {new}\n", checked.stdout)
