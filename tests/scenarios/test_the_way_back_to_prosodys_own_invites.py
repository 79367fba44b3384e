"""docs/moving.md shows the way back to Prosody's own invites. Accounts and contacts stay. Unused
links of Prosody's work again until they are removed, and links of easy-invite end."""

import os
import re
import subprocess

import pytest

from harness.daemon import REPOSITORY, binary_path
from harness.moving import old_server, switch
from harness.stories import has_account, new_invite, register, registers
from harness.xmpp import close_all

SECTION = (REPOSITORY / "docs" / "moving.md").read_text().split("\n## The way back\n")[1]
KEEP, STOP, REMOVE, START = re.findall(r"^```sh\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


@pytest.fixture
def server(prosody_version, store_url, tmp_path):
    running = old_server(prosody_version, tmp_path, store_url=store_url())
    try:
        running.start()
        yield running
    finally:
        running.kill()


def run(server, commands, places):
    """Runs commands of the document, in other places than there."""
    for path, place in places.items():
        assert path in commands
        commands = commands.replace(path, str(place))
    environment = {**server.daemon.environment, "PATH": f"{binary_path().parent}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-ec", commands], check=True, cwd=server.daemon.folder, env=environment)


async def test_the_way_back(server, tmp_path):
    prosody, kept = server.prosody, tmp_path / "kept"
    before = list(prosody.modules), dict(prosody.hosts)
    alice = await server.login("alice")
    unused, removed, spent = [await new_invite(alice) for _ in range(3)]
    await close_all()
    done = server.daemon.cli("import", "prosody", "--data", str(prosody.data_folder))
    assert done.returncode == 0, done.stderr
    switch(server)
    await register(server, "erin", spent)
    ours = await new_invite(await server.login("alice"))
    await close_all()

    kept.mkdir()
    run(server, KEEP, {"/root": kept})
    assert '"kind":"end"' in (kept / "invites.jsonl").read_text()
    assert len((kept / "pending.txt").read_text().splitlines()) == 4, "a header and three links"
    assert STOP == "systemctl stop easy-invite prosody\n" and START == "systemctl start prosody\n"
    server.stop()
    prosody.modules, prosody.hosts, prosody.components = *before, {"other.example.org": "a secret"}
    prosody.start()
    alice = await server.login("alice")
    roster = await alice.roster()
    assert roster["erin@example.org"].subscription == "both"
    assert await has_account(server, "erin")
    assert not await registers(server, "mallory", ours)
    assert await registers(server, "frank", unused), "nobody has used it"
    assert await registers(server, "grace", spent), "Prosody does not know that it was used: step 4 tells"
    assert await registers(server, "heidi", await new_invite(alice))
    await close_all()

    prosody.stop()
    run(server, REMOVE, {"/var/lib/prosody": prosody.data_folder})
    prosody.start()
    assert not await registers(server, "mallory", removed)
    for username in ("alice", "erin", "frank", "heidi"):
        assert await has_account(server, username)
    assert "easy_invite" not in prosody.log.split("Hello and welcome")[-1]
