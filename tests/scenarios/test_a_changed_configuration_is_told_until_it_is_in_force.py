"""While the configuration file differs from what the daemon serves, the log says so once for each
change, and `easy-invite check` fails. Comments and notation do not count."""

import copy
import json
import os
import subprocess

import pytest

from harness.daemon import toml
from harness.server import Server
from harness.stories import eventually


@pytest.fixture(scope="module")
def running(prosody_version, store_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    (folder / "daemon").mkdir()
    secret_file = folder / "daemon" / "secret"
    with Server(prosody_version, folder, store_url=store_url(), run_daemon=False) as server:
        secret_file.write_text(server.daemon.config["component"].pop("secret"))
        server.daemon.config["component"]["secret_file"] = "secret"
        server.secret_file = secret_file
        server.daemon.start()
        yield server
        server.daemon.kill()


@pytest.fixture
def server(running):
    """The same server for all tests, with the configuration with which it started."""
    first, secret = copy.deepcopy(running.daemon.config), running.secret_file.read_text()
    yield running
    running.daemon.config = first
    running.secret_file.write_text(secret)
    running.daemon.reload()


def check(server):
    """The exit code, and the verdict and detail of the line about the configuration."""
    done = server.daemon.cli("--json", "check")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = next(line for line in lines if line["part"] == "config")
    return done.returncode, found["ok"], found["detail"]


async def told(server, change, *words):
    """Makes a change, and returns what the log says of it."""
    before = len(server.daemon.log)
    change()
    said = lambda: server.daemon.log[before:]
    await eventually(lambda: all(word in said() for word in words), f"the log says {words}")
    return said()


@pytest.mark.one_setup
@pytest.mark.parametrize(("change", "key", "how"), [
    (lambda config: config["hosts"].update({"example.net": {}}), 'hosts."example.net"', "reload"),
    (lambda config: config["hosts"]["example.org"].update(invites_per_day=7), "invites_per_day", "reload"),
    (lambda config: config.update(limits={"pages": 7}), "limits.pages", "reload"),
    (lambda config: config["store"].update(retention="1d"), "store.retention", "reload"),
    (lambda config: config["store"].update(url="sqlite:another.db"), "store.url", "restart"),
    (lambda config: config.update(web={"public_url": "https://i.example.org"}), "web", "restart"),
], ids=["host", "policy", "limit", "retention", "store", "web"])
async def test_a_key(server, change, key, how):
    changed = copy.deepcopy(server.daemon.config)
    change(changed)
    said = await told(server, lambda: server.daemon.config_file.write_text(toml(changed)), f"{key}: systemctl {how}")
    assert said.count("WARN") == 1 and said.count("differs from what the daemon serves") == 1, said


async def test_check_fails_at_once_and_until_it_is_in_force(server):
    assert check(server)[:2] == (0, True)
    server.daemon.config["hosts"]["example.org"]["expire_after"] = "30d"
    code, ok, detail = check(server)
    assert (code, ok) == (1, False)
    assert 'hosts."example.org".expire_after: systemctl reload easy-invite' in detail
    server.daemon.reload()
    assert check(server)[:2] == (0, True)
    assert "differs" not in server.daemon.log.rpartition("read anew")[2]


@pytest.mark.one_setup
async def test_comments_and_notation_do_not_count(server):
    server.daemon.config = toml({
        **server.daemon.config, "store": {**server.daemon.config["store"], "retention": "90d"},
        "limits": {"forms": 60}}) + "# a comment\n"
    before = len(server.daemon.log)
    assert check(server)[:2] == (0, True)  # and writes the file
    # The next change is noticed; this one was not.
    await told(server, lambda: server.secret_file.write_text("another"), "component.secret")
    assert server.daemon.log[before:].count("WARN") == 1


@pytest.mark.one_setup
async def test_the_file_with_the_secret(server):
    await told(server, lambda: server.secret_file.write_text("another"), "component.secret: systemctl restart")
    assert not check(server)[1]
    said = await told(server, server.secret_file.unlink, "component.secret_file", "stays in force")
    assert "another" not in said


@pytest.mark.one_setup
async def test_a_file_that_cannot_be_used(server):
    file = server.daemon.config_file
    said = await told(server, lambda: file.write_text(file.read_text() + "[hosts.\"example.org\".roles]\nx = 1\n"),
                      "config.toml:", "stays in force")
    assert said.count("WARN") == 1
    said = await told(server, file.unlink, "config.toml: cannot be read", "stays in force")
    assert said.count("WARN") == 1


@pytest.mark.one_setup
async def test_a_file_that_takes_the_place_of_another(server):
    file = server.daemon.config_file
    new = file.with_suffix(".new")
    new.write_text(file.read_text().replace("join.example.org", "elsewhere.example.org"))
    before = file.stat()
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    await told(server, lambda: new.rename(file), 'hosts."example.org".landing_page')


@pytest.mark.one_setup
async def test_a_check_from_another_folder_finds_the_same(server):
    daemon = server.daemon
    done = subprocess.run([daemon.binary, "--config", "config.toml", "check"], cwd=daemon.folder, capture_output=True)
    assert done.returncode == 0, done.stdout
