"""PostgreSQL's password is read from ~/.pgpass, even for a service without $HOME, and for any of
several hosts. A file that is not used is named."""

import os
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest

from harness.daemon import Daemon, default_config
from harness.postgres import Postgres

PASSWORD = "hunter2"


@pytest.fixture(scope="module")
def asking():
    """A PostgreSQL that asks easy_invite for a password, as its address and database."""
    with tempfile.TemporaryDirectory() as folder, Postgres(Path(folder)) as running:
        with psycopg.connect(running.create_database(), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE easy_invite LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
            [(hba, database)] = connection.execute("SELECT current_setting('hba_file'), current_database()")
            Path(hba).write_text("host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
            connection.execute("SELECT pg_reload_conf()")
        yield f"127.0.0.1:{running.port}", database


@pytest.fixture
def daemon(tmp_path, asking):
    return with_hosts(tmp_path, asking, asking[0])


def test_without_a_home(daemon, asking, tmp_path):
    write(tmp_path / ".pgpass", asking)
    users = tmp_path / "passwd"
    users.write_text(f"root:x:0:0:root:{tmp_path}:/bin/sh\n")
    # In its own mount namespace, so that the machine's own file stays untouched.
    script = f'mount --bind "{users}" /etc/passwd && exec env --unset=HOME "$@"'
    generate = [daemon.binary, "--config", daemon.config_file, "generate", "example.org"]
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", *generate], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_line_of_any_host_is_taken(tmp_path, asking):
    hosts = f"127.0.0.1:1,{asking[0]}"
    daemon = with_hosts(tmp_path, asking, hosts)
    write(tmp_path / ".pgpass", asking)
    done = daemon.cli("generate", "example.org")
    assert done.returncode == 0, done.stderr


def test_a_file_that_others_may_read_is_not_used_and_named(daemon, asking, tmp_path):
    write(tmp_path / ".pgpass", asking).chmod(0o644)
    done = daemon.cli("generate", "example.org")
    assert done.returncode == 1
    assert f"{tmp_path}/.pgpass is not used: others may read it: chmod 600" in done.stderr
    assert PASSWORD not in done.stderr


def with_hosts(folder, asking, hosts):
    config = default_config(1, "secret")
    config["store"] = {"url": f"postgres://easy_invite@{hosts}/{asking[1]}"}
    daemon = Daemon(folder / "daemon", config, environment={**os.environ, "HOME": str(folder)})
    daemon.write_config()
    return daemon


def write(file, asking):
    file.write_text(f"{asking[0]}:{asking[1]}:easy_invite:{PASSWORD}\n")
    file.chmod(0o600)
    return file
