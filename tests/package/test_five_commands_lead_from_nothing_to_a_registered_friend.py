"""On a fresh Debian 12 or 13, the first commands of the README's "Install" lead from the package's
file to a link. A friend registers with it and invites another. Nobody else gets in."""

import re
import tomllib
from types import SimpleNamespace

import pytest

from harness.package import COMMANDS, CONFIG, INSTALL, follow_readme, type_in, wait_until_it_serves
from harness.stories import has_account, new_invite, register
from harness.web import Visitor
from harness.xmpp import StanzaError

pytestmark = pytest.mark.seconds(300)

MOST_COMMANDS = 5
MOST_SECONDS = 120


async def check_from_nothing(machine):
    compilers = machine.run("sh", "-c", "command -v cc gcc clang cargo rustc")
    assert compilers.stdout == ""
    seconds = []
    invite = follow_readme(machine, lambda command, took: seconds.append(took))
    assert len(COMMANDS) <= MOST_COMMANDS
    assert sum(seconds) < MOST_SECONDS, dict(zip(COMMANDS, seconds))

    await register(machine, "friend", invite)
    async with await machine.login("friend", "friend's password") as friend:
        second = await new_invite(friend)
    await register(machine, "second", second)
    for link in (None, invite, second):
        with pytest.raises(StanzaError):
            await register(machine, "mallory", link)
    assert await has_account(machine, "second") and not await has_account(machine, "mallory")
    checked = type_in(machine, "sudo easy-invite check")
    assert "FAILED" not in checked and "hook example.org" in checked


async def test_beside_debians_prosody(machine):
    await check_from_nothing(machine)


async def test_on_a_machine_without_prosody(machine):
    machine.shell("DEBIAN_FRONTEND=noninteractive apt-get purge --yes --autoremove prosody; rm -r /etc/prosody")
    assert machine.run("id", "prosody").returncode != 0 and not (machine.files / "usr/lib/prosody").exists()
    await check_from_nothing(machine)


async def test_the_next_lines_open_the_pages(served):
    """A friend without an app registers there, behind a web server that adds the header."""
    lines = re.search(r"^```toml\n(.*?)^```$", INSTALL, re.MULTILINE | re.DOTALL)[1]
    header = re.search(r"proxy_pass http://127.0.0.1:(\d+);\s+proxy_set_header (\S+)", INSTALL)
    with (served.files / CONFIG.lstrip("/")).open("a") as file:
        file.write(lines)
    type_in(served, re.search(r"^sudo systemctl restart easy-invite$", INSTALL, re.MULTILINE)[0])
    wait_until_it_serves(served)
    server = SimpleNamespace(daemon=SimpleNamespace(config=tomllib.loads(lines)))
    friend = Visitor(server, port=int(header[1]), headers={"Host": "invite.example.org", header[2]: "192.0.2.1"})
    page = re.search(r"https://invite\.example\.org/i/\w+", served.shell("easy-invite generate example.org"))
    assert page, "generate prints the page"
    with served.network():
        await friend.register(page[0].rpartition("/")[2], "friend-by-page")
    assert await has_account(served, "friend-by-page")


def test_a_configuration_forgotten_in_a_folder_does_not_take_over_without_a_word(served):
    """Its store is another one, so its links are dead."""
    there = "mkdir -p /tmp/forgotten; cd /tmp/forgotten; "
    served.shell(f"{there} easy-invite init --host example.org 2>/dev/null")
    made = served.run("sh", "-ec", f"{there} easy-invite generate example.org")
    assert f"config.toml in this folder is used, not {CONFIG}" in made.stderr
    named = served.run("sh", "-ec", f"{there} easy-invite generate example.org --config {CONFIG}")
    assert named.returncode == 0 and named.stderr == ""
