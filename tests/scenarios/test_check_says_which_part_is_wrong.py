"""`easy-invite check` has a line for the configuration, the store, the web pages, the component and
the hook. If something is wrong, its line says what to do, and the exit code is 1. Without a running daemon,
that is what is wrong; the parts are tried, and none is called ok."""

import json
import socket

import pytest

from harness.stories import eventually
from harness.web import web_settings

PARTS = ["config", "daemon", "store", "web", "component", "hook"]


@pytest.fixture(params=[True, False], ids=["daemon-runs", "no-daemon"])
def server(request, make_server):
    made = make_server(settings=web_settings())
    made.daemon.stop()  # the store exists then
    made.with_daemon = request.param
    return made


async def start(server):
    """Starts the daemon, if the test is to have one.
    `check` waits until it has logged in or failed to."""
    if server.with_daemon:
        server.daemon.start(wait=False)
        await eventually(lambda: server.daemon.log.count("easy-invite starts") == 2, "the daemon starts")


def checked(server):
    """The exit code, and whether each part failed, with its detail."""
    done = server.daemon.cli("--json", "check")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["part"] for line in lines] == PARTS[:len(lines)], done.stdout + done.stderr
    if not server.with_daemon:
        assert not any(line["ok"] for line in lines)
        assert lines[1]["detail"].startswith("easy-invite is not running: systemctl start easy-invite")
    return done.returncode, {line["part"]: (line["ok"] or line["warning"], line["detail"]) for line in lines}


async def test_all_is_well(server):
    await start(server)
    code, parts = checked(server)
    assert (code, [name for name, (ok, _) in parts.items() if not ok]) == (0, []) if server.with_daemon \
        else (1, ["daemon"]), parts
    assert f"Prosody {server.prosody.version}" in parts["hook"][1]
    web = server.daemon.config["web"]
    assert parts["web"][1].startswith(f"{web['public_url']} on {web['listen']}")
    assert server.daemon.cli("check").stdout.count(" ok ") == (6 if server.with_daemon else 0)
    if server.with_daemon:
        assert server.daemon.logins == 1  # check has asked the daemon and not replaced it


async def test_prosody_is_down(server):
    server.prosody.stop()
    await start(server)
    assert_wrong(server, "component", f"127.0.0.1:{server.prosody.component_port}", also=["hook"])


async def test_the_secret_is_wrong(server):
    server.daemon.config["component"]["secret"] = "another secret"
    await start(server)
    assert_wrong(server, "component", "component_secret", also=["hook"])


async def test_prosody_does_not_know_the_component(server):
    server.prosody.components = {"elsewhere.example.org": "secret"}
    server.prosody.restart()
    await start(server)
    assert_wrong(server, "component", 'Component "invite.example.org"', also=["hook"])


async def test_the_module_is_missing(server):
    server.prosody.hosts["example.org"] = ""
    server.prosody.restart()
    await start(server)
    assert_wrong(server, "hook", '"easy_invite"')


@pytest.mark.one_setup
async def test_the_web_pages_are_on_another_port(server):
    await start(server)
    with socket.create_server(("127.0.0.1", 0)) as other:
        server.daemon.config["web"]["listen"] = f"127.0.0.1:{other.getsockname()[1]}"
        assert_wrong(server, "web", "restart it" if server.with_daemon else "ss -tlnp", also=not_in_force(server))


@pytest.mark.one_setup
async def test_a_template_is_wrong(server):
    await start(server)
    server.daemon.config["web"]["templates"] = "own"
    (server.daemon.folder / "own").mkdir()
    (server.daemon.folder / "own" / "landing.html").write_text("{% extends 'layout.html' %}\n{{ nothing }}")
    assert_wrong(server, "web", "own/landing.html: line 2: ", also=not_in_force(server))


@pytest.mark.store("sqlite")
async def test_the_store_is_not_a_database(server):
    await start(server)
    server.daemon.write_config()
    (server.daemon.folder / "other.db").write_text("a diary, not a database" * 100)
    server.daemon.config["store"]["url"] = "sqlite:other.db"
    server.daemon.config["control"] = {"socket": "easy-invite.db.sock"}
    code, parts = checked(server)
    assert code == 1 and not parts["store"][0] and "other.db" in parts["store"][1]


def not_in_force(server):
    """The part that fails, too, when the file was changed while the daemon ran."""
    return ["config"] if server.with_daemon else []


def assert_wrong(server, part, words, also=()):
    code, parts = checked(server)
    assert code == 1
    down = set() if server.with_daemon else {"daemon"}
    assert {name for name, (ok, _) in parts.items() if not ok} == {part, *also, *down}, parts
    assert words in parts[part][1]
