"""What systemd hears of the daemon (sd_notify(3)): that it serves, what `systemctl status` shows,
that it reads its configuration anew, that it does not hang, and that it ends."""

import asyncio
import socket
import sqlite3
import time

import pytest

from harness.manager import Manager
from harness.stories import conclusive, eventually


@pytest.fixture(params=[False, True], ids=["path", "abstract"])
def manager(request, tmp_path):
    return Manager(tmp_path, abstract=request.param, watchdog=1.0)


@pytest.mark.one_setup
async def test_a_day_of_a_daemon(make_server, manager):
    server = make_server(environment=manager.environment)
    await eventually(lambda: manager.number_of(READY="1") == 1, "it is ready")
    await eventually(lambda: manager.status == "serving example.org", "the status is good")
    server.daemon.config["hosts"]["example.org"]["expire_after"] = "1d"
    server.daemon.reload()
    await eventually(lambda: manager.number_of(READY="1") == 2, "it is ready again")
    reloading = [message for message in manager.told if message.get("RELOADING") == "1"]
    assert len(reloading) == 1
    assert 0 <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 - int(reloading[0]["MONOTONIC_USEC"]) < 600_000_000

    server.daemon.config["hosts"]["example.org"]["expire_after"] = "soon"
    server.daemon.reload()
    await eventually(lambda: "expire_after" in manager.status, "the status has the problem")
    server.daemon.config["hosts"]["example.org"]["expire_after"] = "2d"
    server.daemon.reload()
    await eventually(lambda: manager.status == "serving example.org", "the status is good again")

    server.prosody.kill()
    await eventually(lambda: "cannot be reached" in manager.status or "lost" in manager.status, "Prosody is gone")
    fed = manager.number_of(WATCHDOG="1")
    await eventually(lambda: manager.number_of(WATCHDOG="1") >= fed + 3, "the watchdog is fed without Prosody, too")
    server.daemon.pause()

    async def feeds_nothing():
        fed = manager.number_of(WATCHDOG="1")
        await asyncio.sleep(1.5)  # longer than the daemon may be silent
        return manager.number_of(WATCHDOG="1") == fed

    await conclusive(feeds_nothing, "a daemon that hangs feeds nothing")
    server.daemon.resume()
    server.daemon.stop()
    assert manager.number_of(STOPPING="1") == 1


@pytest.mark.one_setup
async def test_a_daemon_is_ready_without_the_chat_server(make_server, tmp_path):
    manager = Manager(tmp_path)
    server = make_server(run_daemon=False, environment=manager.environment)
    server.prosody.stop()
    server.daemon.start(wait=False)
    await eventually(lambda: manager.number_of(READY="1") == 1, "it is ready")
    await eventually(lambda: "cannot be reached" in manager.status, "the status has the problem")
    server.prosody.start()
    await eventually(lambda: manager.status == "serving example.org", "it is connected")
    assert manager.number_of(READY="1") == 1


@pytest.mark.one_setup
async def test_a_chat_server_that_says_nothing_does_not_hold_up_the_start(make_server, tmp_path):
    manager = Manager(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {"component": {"server": f"127.0.0.1:{silent.getsockname()[1]}"}}
        server = make_server(run_daemon=False, environment=manager.environment, settings=settings)
        server.daemon.start(wait=False)
        await eventually(lambda: manager.number_of(READY="1") == 1, "it is ready")
        server.daemon.kill()


@pytest.mark.store("sqlite")
@pytest.mark.parametrize(("settings", "code", "status"), [
    ({"component": {"sever": "x"}}, 78, "component.sever"),
    ({"component": {"secret": None}}, 78, "component.secret"),
    ({"web": {"public_url": "https://i.example.org", "logo": "none.svg"}}, 78, "none.svg"),
    ({"store": {"url": "sqlite:newer.db"}}, 78, "schema 99"),
    ({"store": {"url": "sqlite:/proc/none/x.db"}}, 1, "/proc/none"),
    ({"metrics": {"listen": "192.0.2.1:5381"}}, 1, "192.0.2.1"),
], ids=["key", "secret", "logo", "newer-store", "no-folder", "address"])
async def test_a_daemon_that_cannot_start_says_why(make_server, tmp_path, settings, code, status):
    manager = Manager(tmp_path)
    server = make_server(run_daemon=False, environment=manager.environment, settings=settings)
    server.daemon.folder.mkdir(exist_ok=True)
    with sqlite3.connect(server.daemon.folder / "newer.db") as newer:
        newer.execute("PRAGMA user_version = 99")
        newer.execute("PRAGMA application_id = 0")
    server.daemon.start(wait=False)
    assert server.daemon.wait() == code, server.daemon.log
    assert status in manager.status
    assert manager.number_of(READY="1") == 0


@pytest.mark.one_setup
async def test_lines_in_the_journal_have_their_priority_and_no_time(make_server):
    server = make_server(run_daemon=False)
    server.daemon.folder.mkdir(exist_ok=True)
    server.daemon.log_file.touch()
    log = server.daemon.log_file.stat()
    server.daemon.environment["JOURNAL_STREAM"] = f"{log.st_dev}:{log.st_ino}"
    server.daemon.environment["EASY_INVITE_LOG"] = "easy_invite=debug"
    server.prosody.stop()
    server.daemon.start(wait=False)
    await eventually(lambda: "cannot be reached" in server.daemon.log, "a warning")
    server.daemon.config["component"]["sever"] = "x"
    server.daemon.reload()
    server.daemon.stop()
    server.daemon.start(wait=False)
    server.daemon.wait()
    lines = server.daemon.log.splitlines()
    with_words = {line[:3] for line in lines if "read before stays in force" in line or "component.sever" in line}
    assert with_words == {"<3>"}, lines
    assert {line[:3] for line in lines if "cannot be reached" in line} == {"<4>"}
    assert {line[:3] for line in lines if "easy-invite starts" in line} == {"<6>"}
    assert all(line.startswith(("<3>", "<4>", "<6>", "<7>")) for line in lines), lines
    assert not any(str(time.gmtime().tm_year) + "-" in line for line in lines), lines


@pytest.mark.one_setup
async def test_lines_elsewhere_have_a_time_and_no_priority(make_server):
    server = make_server(environment={"JOURNAL_STREAM": "1:1"})  # of a program that started this one
    lines = server.daemon.log.splitlines()
    assert lines and all(line.startswith(str(time.gmtime().tm_year)) for line in lines), lines
