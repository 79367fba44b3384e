"""`prosodyctl install` takes the rock of scripts/rock: also where another module of this name was
installed before, and beside the package's own copy. A friend registers through it."""

import json
import re
import subprocess
import zipfile

import pytest

from harness.daemon import REPOSITORY
from harness.machine import Debian
from harness.package import CERTIFICATE, CONFIG, FILE, bring, generate, type_in, wait_until_it_serves
from harness.stories import eventually, has_account, register

OF_A_ROCK = "/var/lib/prosody/custom_plugins/share/lua/5.4"
README = (REPOSITORY / "prosody" / "mod_easy_invite" / "README.md").read_text()
NEEDED = re.search(r"^sudo apt install .*$", README, re.MULTILINE)[0]

# Like the deprecated module of the community, of which there is a rock with a higher number.
OTHER = 'module:depends("invites");\n'
OTHER_ROCKSPEC = """\
package, version = "mod_easy_invite", "30-1"
source = { url = "mod_easy_invite.zip", dir = "." }
build = { type = "builtin", modules = { ["mod_easy_invite.mod_easy_invite"] = "mod_easy_invite.lua" } }
"""


@pytest.fixture(scope="module")
def rocks(tmp_path_factory):
    """Our rock, and one of another module of this name."""
    folder = tmp_path_factory.mktemp("rocks")
    made = subprocess.run([REPOSITORY / "scripts" / "rock", folder], check=True, capture_output=True, text=True)
    ours, rockspec = made.stdout.splitlines()
    assert ours.endswith(".src.rock") and rockspec.endswith(".rockspec")
    with zipfile.ZipFile(folder / "mod_easy_invite.zip", "w") as source:
        source.writestr("mod_easy_invite.lua", OTHER)
    with zipfile.ZipFile(folder / "mod_easy_invite-30-1.src.rock", "w") as other:
        other.writestr("mod_easy_invite-30-1.rockspec", OTHER_ROCKSPEC)
        other.write(folder / "mod_easy_invite.zip", "mod_easy_invite.zip")
    return folder.joinpath(ours), folder / "mod_easy_invite-30-1.src.rock"


def hook(machine: Debian) -> dict:
    """What `check` says of the hook."""
    lines = map(json.loads, machine.run("easy-invite", "--json", "check").stdout.splitlines())
    return next(line for line in lines if line["part"] == "hook")


def restart(machine: Debian) -> None:
    machine.shell("systemctl restart prosody; systemctl restart easy-invite")


@pytest.mark.seconds(300)
async def test_the_rock(machine, rocks):
    ours, other = rocks
    bring(machine)
    for file in rocks:
        machine.copy_in(file, f"/tmp/{file.name}")
    type_in(machine, f"sudo apt install ./{FILE}")
    type_in(machine, NEEDED)
    machine.shell(CERTIFICATE)

    machine.shell(f"prosodyctl install /tmp/{other.name}")
    told = f"Prosody loads {OF_A_ROCK}/mod_easy_invite/mod_easy_invite.lua, another module of this name: " \
           "prosodyctl remove mod_easy_invite"
    init = machine.run("easy-invite", "init", "--host", "example.org", "--output", CONFIG)
    assert init.returncode == 0 and told in init.stderr
    machine.run("tee", "/etc/prosody/conf.d/easy-invite.cfg.lua", input=init.stdout)
    restart(machine)
    await eventually(lambda: told in hook(machine)["detail"], "check names it", 30)
    assert not hook(machine)["ok"]
    await eventually(lambda: "another module of this name" in machine.shell("journalctl --unit easy-invite"),
                     "the daemon's log says so, too")

    machine.shell(f"prosodyctl install /tmp/{ours.name}")
    listed = machine.shell("prosodyctl list")
    assert ours.name.removeprefix("mod_easy_invite-").removesuffix(".src.rock") in listed and "30-1" not in listed
    restart(machine)
    wait_until_it_serves(machine)
    found = hook(machine)
    assert found["ok"] and not found["warning"] and found["detail"].endswith(f" in {OF_A_ROCK}")
    await register(machine, "carol", generate(machine))
    assert await has_account(machine, "carol")
    beside = machine.run("easy-invite", "prosody-module", "--install", "/usr/local/lib/prosody/modules")
    assert f"{OF_A_ROCK}/mod_easy_invite/mod_easy_invite.lua before it" in beside.stderr
    assert ": prosodyctl remove mod_easy_invite" in beside.stderr
    machine.shell("rm -r /usr/local/lib/prosody/modules/mod_easy_invite")

    machine.shell("prosodyctl remove mod_easy_invite")
    assert "mod_easy_invite" not in machine.shell("prosodyctl list")
    restart(machine)
    wait_until_it_serves(machine)
    found = hook(machine)
    assert found["ok"] and not found["warning"] and found["detail"].endswith(" in /usr/lib/prosody/modules")


def test_a_rock_has_the_same_bytes_each_time(rocks, tmp_path):
    subprocess.run([REPOSITORY / "scripts" / "rock", tmp_path], check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / rocks[0].name).read_bytes() == rocks[0].read_bytes()


def test_its_header_is_that_of_community_modules():
    assert re.match(r"---\nlabels:\n- Stage-\w+\nsummary: .+\nrockspec:\n  build:\n(    .+\n)+---\n", README)
