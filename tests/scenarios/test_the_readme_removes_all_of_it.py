"""The README's section "Remove it" leaves nothing of easy-invite behind, and everything of Prosody:
users keep their accounts and contacts, and nobody registers without an invite."""

import re
import shutil
import subprocess

import pytest

from harness.daemon import REPOSITORY
from harness.stories import new_invite
from harness.xmpp import StanzaError

SECTION = (REPOSITORY / "README.md").read_text().split("\n## Remove it\n")[1].split("\n## ")[0]
COMMANDS = re.search(r"^```sh\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)[1]
OF_A_SYSTEM = re.compile(r"^(systemctl|rm /etc/systemd|rm /usr/local/bin|userdel).*\n", re.MULTILINE)


async def test_the_commands(make_server, tmp_path):
    modules = tmp_path / "modules"
    shutil.copytree(REPOSITORY / "prosody" / "mod_easy_invite", modules / "mod_easy_invite")
    server = make_server(module_folder=modules)
    prosody, daemon = server.prosody, server.daemon
    prosody.adduser("dave@example.org", "dave's password")  # whose age the module notes
    await new_invite(await server.login("dave", "dave's password"))
    prosody.deluser("dave@example.org")
    assert list(prosody.data_folder.rglob("easy_invite*")), "there is something to remove"

    server.stop()
    commands = OF_A_SYSTEM.sub("", COMMANDS)
    for path, place in (("/usr/local/lib/prosody/modules", modules), ("/var/lib/prosody", prosody.data_folder),
                        ("/etc/easy-invite /var/lib/easy-invite", daemon.folder)):
        assert path in commands
        commands = commands.replace(path, str(place))
    subprocess.run(["sh", "-ec", commands], check=True)
    assert not list(prosody.data_folder.rglob("*easy_invite*")) and not list(modules.iterdir())
    assert not daemon.folder.exists()

    prosody.hosts["example.org"], prosody.components = "", {"other.example.org": "a secret"}
    prosody.start()
    await server.login("alice")
    stream = await server.connect()
    with pytest.raises(StanzaError):
        await stream.registration_set("mallory", "mallory's password")
    assert "easy_invite" not in prosody.log.split("Hello and welcome")[-1]
