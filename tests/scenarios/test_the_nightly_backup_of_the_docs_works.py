"""docs/operations.md shows a nightly backup, for systemd and for cron. Its commands make a backup
each night, which can be restored, and remove those older than a month only after a new one."""

import os
import re
import subprocess
import time

import pytest

from harness.daemon import REPOSITORY, binary_path, toml
from harness.stories import generate

MONTH = 31 * 24 * 3600
FOLDER = "/var/backups/easy-invite"

PAGE = (REPOSITORY / "docs" / "operations.md").read_text()
SERVICE = re.findall(r"^Exec(?:StartPre|Start|StartPost)=(.*)$", PAGE, re.MULTILINE)
CRON = re.search(r"^```sh\n(#!/bin/sh\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]

# In a systemd unit, "$$" and "%%" stand for one character.
COMMANDS = {"systemd": " && ".join(SERVICE).replace("$$", "$").replace("%%", "%"), "cron": CRON}


@pytest.mark.parametrize("by", COMMANDS)
def test_the_commands(server, tmp_path, by):
    backups = tmp_path / "backups"
    backups.mkdir()
    command = COMMANDS[by].replace(FOLDER, str(backups)).replace("easy-invite backup", f"{binary_path()} backup")
    generate(server)

    def night(config):
        environment = {**server.daemon.environment, "EASY_INVITE_CONFIG": str(config)}
        return subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True).returncode

    old, recent = backups / "old.db", backups / "recent.db"
    for file, age in ((old, MONTH), (recent, MONTH / 2)):
        file.touch()
        os.utime(file, (time.time() - age,) * 2)
    assert night(tmp_path / "not-there.toml") != 0
    assert set(backups.iterdir()) == {old, recent}, "no backup was made, so none may be removed"
    assert night(server.daemon.config_file) == 0
    [made] = set(backups.iterdir()) - {recent}
    assert re.fullmatch(r"\d{8}-\d{6}\.db", made.name) and made.stat().st_mode & 0o077 == 0
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text(toml({**server.daemon.config, "store": {"url": "sqlite:restored.db"}}))
    restored = subprocess.run([binary_path(), "--config", elsewhere, "restore", made], capture_output=True, text=True)
    assert restored.returncode == 0, restored.stderr
