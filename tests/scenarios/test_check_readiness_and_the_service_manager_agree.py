"""Soon after a fault, `/readyz`, the status line of systemd and `easy-invite check` say the
same of it, and when it is mended, all say that all is well. While the daemon is gone or hangs,
nothing is ready or ok."""

import asyncio
import json
import re
import socket
import sqlite3
import urllib.error
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
import pytest

from harness.disk import careful, damage, fill
from harness.manager import Manager
from harness.process import free_port
from harness.prosody import INVITE_HOST
from harness.server import Server
from harness.stories import eventually

HOSTS = {"example.org": INVITE_HOST, "example.net": INVITE_HOST + '    easy_invite_component = "invite.example.org"\n'}
ON_EXAMPLE_NET = 'module:{}("easy_invite", "example.net")'


def settings():
    """The metrics on a free port, and the socket at a place of its own."""
    return {"metrics": {"listen": f"127.0.0.1:{free_port()}"}, "control": {"socket": "easy-invite.sock"}}


@pytest.fixture(scope="module")
def server(prosody_version, store_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    manager = Manager(folder)
    with Server(prosody_version, folder, store_url=store_url(), hosts=HOSTS, settings=settings(),
                environment=manager.environment) as running:
        running.manager = manager
        yield running


@pytest.fixture
def make_watched_server(make_server, tmp_path):
    def make(**options):
        manager = Manager(tmp_path)
        made = make_server(settings=settings(), environment=manager.environment, **options)
        made.manager = manager
        return made
    return make


async def readiness(server):
    """The status of /readyz and its line, or None without an answer."""
    def get():
        try:
            with urllib.request.urlopen(f"http://{server.daemon.config['metrics']['listen']}/readyz", timeout=2) as got:
                return got.status, got.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return None
    return await asyncio.to_thread(get)


async def checked(server):
    """The exit code, and each line by its part and host."""
    done = await asyncio.to_thread(server.daemon.cli, "--json", "check")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, {(line["part"], line["host"]): line for line in lines}


async def all_is_well(server):
    hosts = sorted(server.daemon.config["hosts"])

    async def is_ready():
        return await readiness(server) == (200, f"serving {', '.join(hosts)}\n")
    await eventually(is_ready, "all is well")
    await eventually(lambda: server.manager.status == f"serving {', '.join(hosts)}", "the status says so")
    code, lines = await checked(server)
    assert code == 0 and all(line["ok"] for line in lines.values()), lines
    assert lines["daemon", None]["detail"] == f"serves {', '.join(hosts)}"


async def all_say(server, part, *words, host=None):
    """All three say these words of this part."""
    told = {}

    async def are_told():
        told.clear()
        status, said = told["/readyz"] = await readiness(server) or (None, "")
        if status != 503 or not all(word in said for word in words):
            return False
        assert said.count("\n") == 1
        told["the status"] = server.manager.status
        code, told["check"] = await checked(server)
        line = told["check"][part, host]
        return (all(word in told["the status"] and word in line["detail"] for word in words)
                and code == 1 and told["check"]["daemon", None]["ok"] and not line["ok"] and not line["warning"])
    try:
        await eventually(are_told, f"all three say {words}")
    except AssertionError as error:
        raise AssertionError(f"{error}, but {told}") from None


async def nothing_is_ready(server, *words):
    """Nobody answers, and check fails for the daemon alone, in these words. Nothing is called ok."""
    async def is_silent():
        return await readiness(server) is None
    await eventually(is_silent, "/readyz is silent")
    code, lines = await checked(server)
    assert code == 1 and not any(line["ok"] for line in lines.values()), lines
    assert all(word in lines["daemon", None]["detail"] for word in words), lines
    text = await asyncio.to_thread(server.daemon.cli, "check")
    assert text.returncode == 1 and " ok " not in text.stdout, text.stdout
    return lines


@pytest.mark.seconds(120)
async def test_the_daemon_is_gone(server):
    await all_is_well(server)
    server.daemon.kill()
    assert (server.daemon.folder / "easy-invite.sock").is_socket()  # a dead daemon's
    lines = await nothing_is_ready(server, "is not running", "systemctl start easy-invite")
    assert [name for name, line in lines.items() if not line["warning"]] == [("daemon", None)], "tried, found well"
    assert "without the daemon" in lines["store", None]["detail"]
    server.daemon.start()
    await all_is_well(server)
    server.daemon.stop()
    await nothing_is_ready(server, "is not running", "systemctl start easy-invite")
    server.daemon.start()
    await all_is_well(server)


@pytest.mark.seconds(120)
async def test_the_daemon_hangs(server):
    server.daemon.pause()
    try:
        await nothing_is_ready(server, "did not answer in time", "systemctl restart easy-invite")
    finally:
        server.daemon.resume()
    await all_is_well(server)


async def test_the_chat_server_is_gone(server):
    server.prosody.kill()
    try:
        await all_say(server, "component", f"127.0.0.1:{server.prosody.component_port}", "The next try is at ")
    finally:
        server.prosody.start()
    await all_is_well(server)


async def test_check_has_a_chat_server_tried_at_once_that_is_back(server):
    server.prosody.kill()

    async def is_next_try_far_away():
        _, told = await readiness(server) or (None, "")
        next_try = re.search(r"The next try is at (\d\d):(\d\d):(\d\d) UTC", told)
        now = datetime.now(UTC)
        return next_try and (now.replace(hour=int(next_try[1]), minute=int(next_try[2]), second=int(next_try[3]))
                             - now).total_seconds() > 3
    try:
        await eventually(is_next_try_far_away, "the next try is far away")
    finally:
        server.prosody.start()
    code, lines = await checked(server)
    assert code == 0 and lines["component", None]["ok"] and lines["hook", "example.net"]["ok"], lines


async def test_the_chat_server_hangs(server):
    server.prosody.pause()
    try:
        await all_say(server, "hook", "example.net did not answer within 4 s", host="example.net")
    finally:
        server.prosody.resume()
    await all_is_well(server)


async def test_a_chat_server_that_says_nothing_is_no_connection(server):
    real = server.daemon.config["component"]["server"]
    server.daemon.stop()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server.daemon.config["component"]["server"] = f"127.0.0.1:{silent.getsockname()[1]}"
        try:
            server.daemon.start(wait=False)
            await all_say(server, "component", "has not answered yet")
        finally:
            server.daemon.kill()
            server.daemon.config["component"]["server"] = real
            server.daemon.start()
    await all_is_well(server)


async def test_the_hook_of_one_host_is_gone(server):
    await all_is_well(server)
    server.prosody.shell(ON_EXAMPLE_NET.format("unload"))
    await all_say(server, "hook", 'add "easy_invite" to its modules_enabled', host="example.net")
    code, lines = await checked(server)
    assert code == 1 and lines["hook", "example.org"]["ok"] and lines["component", None]["ok"]
    server.prosody.shell(ON_EXAMPLE_NET.format("load"))
    await all_is_well(server)


async def test_a_host_is_gone(server):
    server.prosody.shell('host:deactivate("example.net")')
    await all_say(server, "hook", "example.net", host="example.net")
    server.prosody.shell('host:activate("example.net")')
    await all_is_well(server)


async def test_the_configuration_was_changed(server):
    server.daemon.config["hosts"]["new.example"] = {}
    server.daemon.write_config()
    await all_say(server, "config", "differs from what the daemon serves", "systemctl reload easy-invite")
    code, lines = await checked(server)
    assert code == 1 and "does not serve new.example yet" in lines["hook", "new.example"]["detail"], lines
    del server.daemon.config["hosts"]["new.example"]
    server.daemon.write_config()
    await all_is_well(server)


@contextmanager
def locked(server):
    """Another program holds what the daemon writes."""
    if server.daemon.config["store"]["url"].startswith("sqlite:"):
        with sqlite3.connect(server.daemon.folder / "easy-invite.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
    else:
        with psycopg.connect(server.daemon.config["store"]["url"]) as other:
            other.execute("LOCK TABLE last_seen IN EXCLUSIVE MODE")
            yield


async def test_another_program_locks_the_store(server):
    with locked(server):
        await all_say(server, "store", "the store")
    await all_is_well(server)


@pytest.mark.store("postgres")
@pytest.mark.seconds(120)
async def test_the_database_server_is_gone_or_hangs(server, failing_postgres):
    failing_postgres.kill()
    await all_say(server, "store", "the store", "cannot be reached")
    failing_postgres.start()
    await all_is_well(server)
    failing_postgres.pause()
    try:
        await all_say(server, "store", "the store")
    finally:
        failing_postgres.resume()
    await all_is_well(server)


@pytest.mark.store("sqlite")
@pytest.mark.seconds(120)
async def test_the_disk_is_full_or_damaged(make_watched_server, tmp_path):
    with careful(tmp_path / "disk") as disk:
        server = make_watched_server(store_url=f"sqlite:{disk}/easy-invite.db")
        await all_is_well(server)
        fill(disk / "ballast")
        await all_say(server, "store", "no space is left")
        (disk / "ballast").unlink()
        await all_is_well(server)
        damage(disk)
        await all_say(server, "store", "read-only")
        server.daemon.kill()


@pytest.mark.store("sqlite")
async def test_the_file_of_the_store_is_moved_away(make_watched_server):
    server = make_watched_server()
    store, elsewhere = server.daemon.folder / "easy-invite.db", server.daemon.folder / "elsewhere.db"
    store.rename(elsewhere)
    await all_say(server, "store", "the store")
    elsewhere.rename(store)
    await all_is_well(server)
