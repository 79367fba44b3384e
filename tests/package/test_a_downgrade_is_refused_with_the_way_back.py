"""A later version of the package has changed the store, and the operator goes back to the former
package. dpkg finishes, the daemon refuses the store, and its status has the command that brings back
the store from before the upgrade."""

import re

import pytest

from harness.package import FILE, bring, follow_readme, generate, later_version
from harness.stories import eventually, has_account, register, registers

pytestmark = pytest.mark.seconds(180)

STORE = "/var/lib/easy-invite/easy-invite.db"
USER_VERSION = 60  # where it is in the file: https://sqlite.org/fileformat.html
BEFORE = "/var/lib/easy-invite/schema-1.20260501-031700.easy-invite.db"


async def test_the_command_in_the_status_brings_back_the_store(machine, tmp_path):
    before = follow_readme(machine)
    machine.shell(f"easy-invite backup {BEFORE}; chown easy-invite: {BEFORE}")
    bring(machine, later_version(tmp_path))
    machine.shell(f"apt-get install --yes /home/olivia/{FILE}")
    after = generate(machine)
    # As a later version leaves the store, beside the copy.
    machine.shell("easy-invite backup /root/changed.db")
    with (machine.files / "root" / "changed.db").open("r+b") as changed:
        changed.seek(USER_VERSION)
        changed.write((2).to_bytes(4))
    machine.shell(f"rm {STORE}*; install --owner easy-invite --mode 600 /root/changed.db {STORE}")

    bring(machine)
    machine.shell(f"apt-get install --yes --allow-downgrades /home/olivia/{FILE}")
    assert machine.shell("dpkg --audit") == ""
    await eventually(lambda: machine.show("easy-invite", "ActiveState") == "failed", "the daemon refuses the store")
    assert machine.show("easy-invite", "ExecMainStatus") == "78"
    status = machine.run("systemctl", "status", "--no-pager", "--full", "easy-invite").stdout
    assert f"the store {STORE} has schema 2, this version knows up to 1" in status
    command = re.search(r"go back to how it was before the upgrade: (mkdir .*)", status)[1].strip('"')
    assert command.endswith(BEFORE)

    machine.shell(command)
    machine.shell("systemctl start easy-invite")
    await eventually(lambda: machine.run("easy-invite", "check").returncode == 0, "all is well", 30)
    assert not await registers(machine, "mallory", after)
    await register(machine, "friend", before)
    assert await has_account(machine, "friend")
