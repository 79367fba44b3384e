"""The store is on a file system that was mounted read-only: the daemon does not start, the command line makes nothing,
and both say why. Mounted for writing again, everything is there."""

import subprocess

import pytest

from harness.stories import generate, register, show

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
    assert show(server, invite)["uses"] == 1


def remount(disk, mode):
    subprocess.run(["mount", "-o", f"remount,{mode}", disk], check=True)
