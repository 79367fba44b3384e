"""The image with what people set: a read-only system, another user, a file, misspelled variables. The
chat server is not there, so the daemon runs and says so.
"""

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from harness.containers import Container, once, podman

ENVIRONMENT = {"EASY_INVITE_JID": "invite.example.org", "EASY_INVITE_SERVER": "prosody:5347",
               "EASY_INVITE_SECRET": "not to be seen", "EASY_INVITE_HOSTS": "example.org"}
AWAY = "Connection refused"
CONFIGURATION_IS_WRONG = 78
HOST = ["--add-host", "prosody:127.0.0.1"]


def setting(**more: str) -> list[str]:
    """Options for a complete environment, and more variables of easy-invite."""
    named = {**ENVIRONMENT, **{f"EASY_INVITE_{name}": value for name, value in more.items()}}
    return HOST + [word for name, value in named.items() for word in ("--env", f"{name}={value}")]


@pytest.fixture(autouse=True)
def no_volume_is_left() -> Iterator[None]:
    """Each test has its own store."""
    yield
    podman("volume", "prune", "--force")


def test_nothing_but_the_store_is_written(tmp_path: Path) -> None:
    """A read-only system without a folder for temporary files, and without any capability."""
    bounds = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges"]
    with Container("confined", *setting(), *bounds) as daemon:
        daemon.wait_for(AWAY)
        assert "which listens for other machines and containers only with component_interfaces" in daemon.log
        for _ in range(2):
            daemon.exec("easy-invite", "generate", "example.org", "--count", "50")
        assert len(daemon.exec("easy-invite", "list", "--json", "--limit", "200").stdout.splitlines()) == 100
        daemon.exec("easy-invite", "backup", "copy.db")
        assert daemon.stop() == 0


@pytest.mark.parametrize("user", ["12345", "12345:54321"])
def test_another_user_has_a_folder_of_its_own(tmp_path: Path, user: str) -> None:
    """Any user will do that the folder belongs to. Without it, the message says whose it is not."""
    os.chown(tmp_path, 12345, 0)
    tmp_path.chmod(0o700)
    mounted = ["--volume", f"{tmp_path}:/var/lib/easy-invite"]
    with Container("another", *setting(), *mounted, "--user", user, "--read-only") as daemon:
        daemon.wait_for(AWAY)
        daemon.exec("easy-invite", "generate", "example.org")
        assert (tmp_path / "easy-invite.db").stat().st_uid == 12345
    done = once("run", options=[*setting(), *mounted])
    assert done.returncode == 1 and "may not be" in done.stderr, done.stderr


def test_a_file_that_only_root_may_read_is_told(tmp_path: Path) -> None:
    """Mode 600 is root's here, and not the daemon's. The daemon's own is taken."""
    file = tmp_path / "config.toml"
    file.write_text('[component]\njid = "invite.example.org"\nserver = "prosody:5347"\nsecret = "not to be seen"\n'
                    '[store]\nurl = "sqlite:/var/lib/easy-invite/easy-invite.db"\n[hosts."example.org"]\n')
    file.chmod(0o600)
    mounted = [*HOST, "--volume", f"{file}:/etc/easy-invite/config.toml:ro"]
    done = once("run", options=mounted)
    assert done.returncode == CONFIGURATION_IS_WRONG
    assert done.stderr == "easy-invite: /etc/easy-invite/config.toml: cannot be read: Permission denied " \
        "(os error 13): let the user with the id 5347 read it: chgrp 5347 FILE && chmod g+r FILE\n"
    os.chown(file, 5347, 5347)
    with Container("with-a-file", *mounted) as daemon:
        daemon.wait_for(AWAY)
        daemon.exec("easy-invite", "generate", "example.org")
        checked = daemon.exec("easy-invite", "check", check=False).stdout
        assert "/etc/easy-invite/config.toml, and EASY_INVITE_LISTEN in the environment" in checked


@pytest.mark.parametrize("name", ["HOST", "COMPONENT_SECRET", "DOMAIN"])
def test_a_misspelled_variable_is_told(name: str) -> None:
    """With the known ones, and without what it holds."""
    done = once("run", options=setting(**{name: "hunter2"}))
    assert done.returncode == CONFIGURATION_IS_WRONG
    assert done.stderr.startswith(f"easy-invite: $EASY_INVITE_{name} in the environment: there is no such variable")
    assert "EASY_INVITE_HOSTS, EASY_INVITE_SECRET, " in done.stderr and "hunter2" not in done.stderr


def test_a_container_without_any_setting_says_what_it_needs() -> None:
    """The image alone is no configuration."""
    done = once("run")
    assert done.returncode == CONFIGURATION_IS_WRONG
    assert done.stderr.startswith("easy-invite: $EASY_INVITE_JID in the environment: missing: expected the name")


def test_the_secret_is_in_a_file_that_the_engine_mounts(tmp_path: Path) -> None:
    """As with `docker secret`. No log and no command shows it."""
    secret = tmp_path / "secret"
    secret.write_text("not to be seen\n")
    os.chown(secret, 5347, 5347)
    secret.chmod(0o400)
    options = [*setting(SECRET="", SECRET_FILE="/run/secrets/easy-invite"), "--env", "EASY_INVITE_LOG=trace",
               "--volume", f"{secret}:/run/secrets/easy-invite:ro"]
    with Container("with-a-secret", *options) as daemon:
        daemon.wait_for(AWAY)
        said = daemon.log + daemon.exec("easy-invite", "check", check=False).stdout
        assert "not to be seen" not in said


def test_an_orchestrator_asks_whether_it_is_there_and_ready() -> None:
    """Without the chat server it is alive, and not ready."""
    with Container("probed", *setting(METRICS_LISTEN="0.0.0.0:5381", PUBLIC_URL="https://example.org/join")) as daemon:
        daemon.wait_for(AWAY)
        assert urllib.request.urlopen("http://127.0.0.1:5381/healthz").status == 200
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen("http://127.0.0.1:5381/readyz")
        assert refused.value.code == 503
        made = json.loads(daemon.exec("easy-invite", "generate", "example.org", "--json").stdout)
        page = urllib.request.urlopen(f"http://127.0.0.1:5380/join/i/{made['token']}").read().decode()
        assert "example.org" in page
