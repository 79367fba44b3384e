"""The store's file system is mounted read-only. The daemon does not start, the command line makes
nothing, and both say why. Mounted for writing again, everything is there. A backup that lies there
can be restored from a copy."""

import shutil

import pytest

from harness.disk import remount
from harness.stories import generate, register, show, used

pytestmark = pytest.mark.store("sqlite")


@pytest.fixture
def server(disk, make_server):
    return make_server(settings={"store": {"url": f"sqlite:{disk}/easy-invite.db"},
                                 "control": {"socket": "easy-invite.sock"}})


async def test_until_it_is_writable_again(server, disk):
    invite = generate(server)
    server.daemon.stop()
    remount(disk, "ro")
    server.daemon.start(wait=False)
    assert server.daemon.wait() == 1
    [told] = [line for line in server.daemon.log.splitlines() if "read-only" in line]
    assert "easy-invite.db" in told
    done = server.daemon.cli("generate", "example.org")
    assert (done.returncode, done.stdout) == (1, "") and "read-only" in done.stderr

    remount(disk, "rw")
    server.daemon.start()
    await register(server, "carol", invite)
    await used(server, invite)


async def test_a_backup_is_restored_from_a_copy(server, disk):
    backup, copy = disk / "backup.db", server.daemon.folder / "copy.db"
    invite = generate(server)
    assert server.daemon.cli("backup", str(backup)).returncode == 0
    server.daemon.stop()
    server.daemon.config["store"]["url"] = "sqlite:easy-invite.db"
    remount(disk, "ro")
    refused = server.daemon.cli("restore", str(backup))
    assert refused.returncode == 1 and "copy it to another folder, and restore the copy" in refused.stderr
    shutil.copy(backup, copy)
    assert server.daemon.cli("restore", str(copy)).returncode == 0
    assert show(server, invite)["state"] == "pending"
