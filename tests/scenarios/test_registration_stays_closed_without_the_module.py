"""mod_register_ibr alone lets everybody register. So while the module is unloaded or cannot be
loaded, registration is closed."""

import shutil

import pytest

from harness.daemon import REPOSITORY
from harness.gate import GATE, PlayedDaemon
from harness.process import ProcessFailed
from harness.stories import generate, has_account, register
from harness.xmpp import StanzaError, child

CLOSED = "wait/resource-constraint: Registration is closed at the moment"
ALLOWED_BY_CONFIGURATION = {"hosts": {"example.org": """
    allow_registration = true
    modules_enabled = { "easy_invite" }
"""}}
NOT_ALLOWED_BY_CONFIGURATION = {"hosts": {"example.org": 'modules_enabled = { "easy_invite" }'}}

# One line of the console, so one event: nothing else can happen between its two steps.
UNLOAD_AND_REGISTER = (
    '> require "core.modulemanager".unload("example.org", "easy_invite"); '
    'local event = { username = "mallory", host = "example.org", allowed = true }; '
    'prosody.hosts["example.org"].events.fire_event("user-registering", event); '
    'return "allowed is " .. tostring(event.allowed) .. "."')


@pytest.mark.parametrize("options", [ALLOWED_BY_CONFIGURATION, NOT_ALLOWED_BY_CONFIGURATION],
                         ids=["allowed", "not-allowed"])
def test_at_the_moment_of_the_unload(make_server, options):
    server = make_server(run_daemon=False, **options)
    assert "allowed is false." in server.prosody.shell(UNLOAD_AND_REGISTER)


async def test_until_it_is_loaded_again(make_server):
    server = make_server(**ALLOWED_BY_CONFIGURATION)
    server.prosody.shell('module:unload("easy_invite", "example.org")')
    assert "Registration stays closed until this module is loaded again" in server.prosody.log
    with pytest.raises(StanzaError, match=CLOSED):
        await (await server.connect()).registration_set("mallory", "mallory's password")

    server.prosody.shell('module:load("easy_invite", "example.org")')
    await register(server, "carol", generate(server))


async def test_it_is_not_offered_if_the_configuration_does_not_allow_it(make_server):
    server = make_server(run_daemon=False, **NOT_ALLOWED_BY_CONFIGURATION)
    server.prosody.shell('module:unload("easy_invite", "example.org")')
    with pytest.raises(StanzaError, match="service-unavailable"):
        await (await server.connect()).registration_set("mallory", "mallory's password")


@pytest.mark.parametrize("library", ["gate", "accounts", "daemon", "commands"])
async def test_when_a_file_of_the_module_is_missing(make_server, tmp_path, library):
    copy = copy_of_the_module(tmp_path)
    (copy / f"{library}.lib.lua").unlink()
    server = make_server(run_daemon=False, module_folder=copy.parent, **ALLOWED_BY_CONFIGURATION)
    assert f"Failed to load plugin library '{library}'" in server.prosody.log
    with pytest.raises(StanzaError, match=CLOSED):
        await (await server.connect()).registration_set("mallory", "mallory's password")


async def test_a_reload_reads_all_files_again(make_server, tmp_path):
    copy = copy_of_the_module(tmp_path)
    server = make_server(module_folder=copy.parent, **ALLOWED_BY_CONFIGURATION)
    library = copy / "daemon.lib.lua"
    library.write_text(library.read_text().replace('"Prosody "..', '"A new Prosody "..'))
    server.prosody.shell('module:reload("easy_invite", "example.org")')
    await register(server, "carol", generate(server))
    server.daemon.stop()
    daemon = await PlayedDaemon.connect(server)
    hello = child(await daemon.stream.ask("get", f"<hello xmlns='{GATE}'/>", "example.org"), "hello")
    assert hello.get("software").startswith("A new Prosody ")

    library.write_text("this is no Lua")
    with pytest.raises(ProcessFailed, match="Failed to load plugin library 'daemon'"):
        server.prosody.shell('module:reload("easy_invite", "example.org")')
    with pytest.raises(StanzaError, match=CLOSED):
        await (await server.connect()).registration_set("mallory", "mallory's password")
    assert not await has_account(server, "mallory")


async def test_until_a_broken_file_is_mended(make_server, tmp_path):
    copy = copy_of_the_module(tmp_path)
    server = make_server(module_folder=copy.parent, **ALLOWED_BY_CONFIGURATION)
    library = copy / "commands.lib.lua"
    whole = library.read_text()
    library.write_text("this is no Lua")
    with pytest.raises(ProcessFailed, match="Failed to load plugin library 'commands'"):
        server.prosody.shell('module:reload("easy_invite", "example.org")')
    library.write_text(whole)
    server.prosody.shell('module:load("easy_invite", "example.org")')
    await register(server, "carol", generate(server))


def copy_of_the_module(folder):
    """A copy of the module's files, below this folder."""
    return shutil.copytree(REPOSITORY / "prosody" / "mod_easy_invite", folder / "modules" / "mod_easy_invite")
