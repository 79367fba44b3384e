"""A backup works on a file system that has no hard links and cannot rename a file without the risk
of replacing another, such as NFS. It overwrites nothing there either."""

import subprocess

import pytest

from harness.stories import generate, show

pytestmark = pytest.mark.store("sqlite")


@pytest.fixture
def server(make_server):
    return make_server(run_daemon=False)


def test_a_backup_is_whole_and_overwrites_nothing(server):
    invite = generate(server)
    backup = server.daemon.folder / "kept.db"
    done = make(server, backup)
    assert done.returncode == 0, done.stderr
    left = {file.name for file in server.daemon.folder.iterdir() if "kept" in file.name}
    assert left == {"kept.db"}
    again = make(server, backup)
    assert again.returncode == 1 and "exists already and is left as it is" in again.stderr
    server.daemon.config["store"]["url"] = "sqlite:kept.db"
    assert show(server, invite)["state"] == "pending"


def make(server, backup):
    """Runs `backup` while the kernel refuses what such a file system cannot do."""
    server.daemon.write_config()
    strace = ["strace", "-f", "-o", "/dev/null", "-e", "trace=link,linkat,renameat2",
              "-e", "inject=link,linkat:error=EPERM", "-e", "inject=renameat2:error=EINVAL"]
    return subprocess.run([*strace, server.daemon.binary, "--config", server.daemon.config_file, "backup", backup],
                          cwd=server.daemon.folder, capture_output=True, text=True)
