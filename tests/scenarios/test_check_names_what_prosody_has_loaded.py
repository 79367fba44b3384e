"""`easy-invite check` and the daemon's log say which module Prosody has loaded, if that is not the
one of this version, and which other modules make invites; and what to do about each."""

import json
import re
import shutil
from pathlib import Path

import pytest

from harness.prosody import INVITE_HOST, REPOSITORY, USUAL_MODULES
from harness.server import Server
from harness.stories import eventually

OURS = REPOSITORY / "prosody" / "mod_easy_invite"
VERSION = re.search(r'^version = "(.*)"', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]

# Like mod_invites_page and others of the community, it works with Prosody's mod_invites.
OF_THE_COMMUNITY = 'module:depends("invites");\n'


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two of Prosody's plugin_paths: the first wins."""
    return tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")


@pytest.fixture(scope="module")
def server(folders, prosody_version, tmp_path_factory):
    install(folders[0])
    with Server(prosody_version, tmp_path_factory.mktemp("server"), module_folder=folders[0],
                plugin_folders=[folders[1]]) as running:
        yield running


@pytest.fixture(autouse=True)
def as_installed(server, folders):
    """Each test begins with the module of this version, and nothing else."""
    yield
    for folder in folders:
        shutil.rmtree(folder)
        folder.mkdir()
    install(folders[0])
    server.prosody.hosts["example.org"] = INVITE_HOST
    server.prosody.modules = list(USUAL_MODULES)


def install(folder: Path) -> Path:
    return shutil.copytree(OURS, folder / "mod_easy_invite", dirs_exist_ok=True)  # of an earlier server


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def restart(server) -> None:
    server.prosody.restart()
    server.daemon.restart()  # by itself, it would wait longer before each new connection


def check(server) -> tuple[str, list[str]]:
    """The verdict on the hook, with the details that are warnings or failures."""
    lines = [json.loads(line) for line in server.daemon.cli("--json", "check").stdout.splitlines()]
    hook = [line for line in lines if line["part"] == "hook"]
    verdict = "failed" if not all(line["ok"] for line in hook) else "ok"
    if verdict == "ok":
        assert VERSION in hook[0]["detail"] or any(line["warning"] for line in hook)
    return verdict, [line["detail"] for line in hook if line["warning"] or not line["ok"]]


async def assert_told(server, *words: str, verdict: str = "ok") -> None:
    """One line of check says this, and so does the daemon's log."""
    found, [detail] = check(server)
    assert found == verdict
    for word in words:
        assert word in detail, detail
    await eventually(lambda: all(any(word in line for line in server.daemon.log.splitlines() if "WARN" in line)
                                 for word in words), "the daemon's log says the same")


async def test_the_module_of_this_version_is_named_with_its_folder(server, folders):
    restart(server)
    lines = [json.loads(line) for line in server.daemon.cli("--json", "check").stdout.splitlines()]
    [hook] = [line for line in lines if line["part"] == "hook"]
    assert hook["ok"] and not hook["warning"]
    assert hook["detail"].endswith(f", mod_easy_invite {VERSION} in {folders[0]}")


async def test_another_version(server, folders):
    edit(folders[0] / "mod_easy_invite" / "about.lib.lua", f'"{VERSION}"', '"0.0.9"')
    restart(server)
    await assert_told(server, f"{folders[0]}/mod_easy_invite/mod_easy_invite.lua is mod_easy_invite 0.0.9",
                      VERSION, f"easy-invite prosody-module --install {folders[0]}", "restart Prosody")


async def test_a_version_from_before_modules_said_theirs(server, folders):
    edit(folders[0] / "mod_easy_invite" / "daemon.lib.lua", "hello.attr.version, hello.attr.replaced = about.version, ",
         "hello.attr.replaced = ")
    restart(server)
    await assert_told(server, "older than this", "easy-invite prosody-module --install", "restart Prosody")


async def test_a_module_that_was_replaced_and_still_runs(server, folders):
    edit(folders[0] / "mod_easy_invite" / "about.lib.lua", f'"{VERSION}"', '"0.0.9"')
    restart(server)
    done = server.daemon.cli("prosody-module", "--install", str(folders[0]))
    assert done.returncode == 0, done.stderr
    verdict, [detail] = check(server)
    assert verdict == "ok" and "still runs mod_easy_invite 0.0.9" in detail and detail.endswith(": restart Prosody")
    restart(server)
    assert check(server) == ("ok", [])


@pytest.mark.parametrize("name", ["grants.lib.lua", "mod_easy_invite.lua", "prosodyctl.lib.lua"])
async def test_a_file_of_another_version(server, folders, name):
    file = folders[0] / "mod_easy_invite" / name
    file.write_text(file.read_text() + "\n-- of yesterday\n" if name != "grants.lib.lua" else "\n" + file.read_text())
    restart(server)
    await assert_told(server, f": {file}.", f"easy-invite prosody-module --install {folders[0]}")


async def test_a_missing_file_that_another_folder_has(server, folders):
    other = install(folders[1])
    (folders[0] / "mod_easy_invite" / "rights.lib.lua").unlink()
    restart(server)
    await assert_told(server, f": {other}/rights.lib.lua.", f"easy-invite prosody-module --install {folders[0]}")


@pytest.mark.parametrize("name", ["gate", "about", "hosts"])
async def test_a_missing_file(server, folders, name):
    (folders[0] / "mod_easy_invite" / f"{name}.lib.lua").unlink()
    restart(server)
    await assert_told(server, "not active", f"{name}.lib.lua", "easy-invite prosody-module --install", verdict="failed")
    install_again = server.daemon.cli("prosody-module", "--install", str(folders[0]))
    assert install_again.returncode == 0
    restart(server)
    assert check(server) == ("ok", [])


async def test_a_module_that_needs_what_is_disabled(server):
    server.prosody.hosts["example.org"] += '    modules_disabled = { "adhoc" }\n'
    restart(server)
    _, [detail] = check(server)
    assert "not active: Prosody's log says why" in detail and "lib.lua" not in detail


async def test_prosodys_own_invites(server):
    server.prosody.modules += ["invites", "invites_adhoc", "invites_register"]
    server.prosody.hosts["example.org"] += '    modules_disabled = { "announce" }\n'
    restart(server)
    line = 'modules_disabled = { "announce", "invites", "invites_adhoc", "invites_register" }'
    await assert_told(server, "mod_invites_adhoc", 'VirtualHost "example.org"', line, verdict="failed")


async def test_other_modules_that_make_invites(server, folders):
    (folders[1] / "mod_invites_page.lua").write_text(OF_THE_COMMUNITY)
    server.prosody.modules += ["invites", "invites_page"]
    restart(server)
    await assert_told(server, "mod_invites, mod_invites_page make links that nobody accepts",
                      'VirtualHost "example.org": "invites", "invites_page"')
    server.prosody.hosts["example.org"] += '    modules_disabled = { "invites", "invites_page" }\n'
    restart(server)
    assert check(server) == ("ok", [])


async def test_another_module_of_this_name(server, folders, tmp_path):
    shutil.rmtree(folders[0] / "mod_easy_invite")
    other = folders[1] / "mod_easy_invite.lua"
    other.write_text('module:log("info", "Prosody Community\'s, which answers nothing");\n')
    restart(server)
    verdict, [detail] = check(server)
    assert verdict == "failed" and "or has another module of this name" in detail
    server.daemon.environment["PROSODY_CONFIG"] = str(server.prosody.config_file)
    verdict, [detail] = check(server)
    assert verdict == "failed" and f"Prosody loads {other}, another module of this name: remove it" in detail
    installed = server.daemon.cli("prosody-module", "--install", str(folders[0] / "mod_easy_invite"))
    assert f"Prosody finds {other} before it, another module of this name: remove it" in installed.stderr
    init = server.daemon.cli("init", "--output", str(tmp_path / "config.toml"))
    assert init.returncode == 0 and f"loads {other}, another module of this name: remove it" in init.stderr
    other.unlink()
    verdict, [detail] = check(server)
    assert verdict == "failed" and "Prosody finds none: easy-invite prosody-module --install" in detail
    server.prosody.hosts["example.org"] = ""
    restart(server)
    verdict, [detail] = check(server)
    assert 'VirtualHost "example.org" in' in detail and detail.endswith("does not enable it")
    # Where a list is, there the module belongs: a second list would replace it.
    server.prosody.hosts["example.org"] = 'modules_enabled = { "ping" }'
    restart(server)
    verdict, [detail] = check(server)
    lines = server.prosody.config_file.read_text().splitlines()
    [line] = [number for number, text in enumerate(lines, 1) if 'modules_enabled = { "ping" }' in text]
    assert verdict == "failed" and detail.endswith(f"{server.prosody.config_file}, line {line} does not enable it")


def test_another_module_of_this_name_that_prosodyctl_has_installed(server, tmp_path):
    other = tmp_path / "plugins" / "share" / "lua" / "5.4" / "mod_easy_invite" / "mod_easy_invite.lua"
    other.parent.mkdir(parents=True)
    other.write_text(OF_THE_COMMUNITY)
    config = tmp_path / "prosody.cfg.lua"
    config.write_text(f'installer_plugin_path = "{tmp_path}/plugins"\nplugin_paths = {{ "{tmp_path}/modules" }}\n')
    said = f"{other}{{}}, another module of this name: prosodyctl remove mod_easy_invite"
    installed = server.daemon.cli("prosody-module", "--install", f"{tmp_path}/modules", "--prosody", str(config))
    assert said.format(" before it") in installed.stderr
    init = server.daemon.cli("init", "--output", str(tmp_path / "config.toml"), "--prosody", str(config))
    assert init.returncode == 0 and said.format("") in init.stderr
