"""Somebody has installed easy-invite by hand, in /usr/local, and then installs the package. apt names
the files that take the place of the package's. After the commands of docs/operations.md, the
package's files run, with the configuration, the store and the links that were there."""

import re

import pytest

from harness.daemon import REPOSITORY
from harness.package import CERTIFICATE, CONFIG, FILE, bring, generate
from harness.stories import eventually, has_account, register

pytestmark = pytest.mark.seconds(180)

FIRST = ("/usr/local/bin/easy-invite", "/etc/systemd/system/easy-invite.service",
         "/usr/local/lib/prosody/modules/mod_easy_invite")
TITLE = "### From files of your own to the package"
PAGE = (REPOSITORY / "docs" / "operations.md").read_text()
INSTALL, *GO_OVER = re.search(r"```\n(.*?)```", PAGE.split(TITLE)[1], re.DOTALL)[1].strip().splitlines()

BY_HAND = f"""
useradd --system --home-dir /var/lib/easy-invite --shell /usr/sbin/nologin easy-invite
mkdir /etc/easy-invite
dpkg-deb --extract /home/olivia/{FILE} /root/unpacked
cp /root/unpacked/usr/bin/easy-invite /usr/local/bin/
easy-invite init --host example.org --output {CONFIG}
easy-invite prosody-module --install /usr/local/lib/prosody/modules
cat > /etc/prosody/conf.d/example.org.cfg.lua <<END
Component "invite.example.org"
    component_secret = "$(sed -n 's/^secret = "\\(.*\\)"/\\1/p' {CONFIG})"
VirtualHost "example.org"
    modules_enabled = {{ "easy_invite" }}
    modules_disabled = {{ "invites", "invites_adhoc", "invites_register" }}
END
systemctl restart prosody
systemctl enable --now easy-invite
"""


def program(machine):
    return machine.shell(f"readlink /proc/{machine.show('easy-invite', 'MainPID')}/exe").strip()


async def test_what_comes_first_is_named_and_what_was_there_stays(machine):
    bring(machine)
    machine.copy_in(REPOSITORY / "contrib" / "easy-invite.service", FIRST[1])
    machine.shell(CERTIFICATE + BY_HAND)
    is_well = lambda: machine.run("easy-invite", "check").returncode == 0
    await eventually(is_well, "all is well by hand", 30)
    link, config = generate(machine), (machine.files / CONFIG.lstrip("/")).read_bytes()

    said = machine.shell(f"cd /home/olivia; {INSTALL}")
    assert all(f"easy-invite: {path} takes the place of the package's file" in said for path in FIRST), said
    machine.shell("systemctl restart easy-invite prosody")
    await eventually(is_well, "what was there goes on", 30)
    assert program(machine) == FIRST[0]

    machine.shell("easy-invite list\n" + "\n".join(GO_OVER[:-1]))
    await eventually(is_well, "all is well with the package", 30)
    assert program(machine) == machine.shell("command -v easy-invite").strip() == "/usr/bin/easy-invite"
    assert " in /usr/lib/prosody/modules" in machine.shell(GO_OVER[-1])
    assert machine.show("easy-invite", "UnitFileState") == "enabled"
    assert (machine.files / CONFIG.lstrip("/")).read_bytes() == config
    await register(machine, "friend", link)
    assert await has_account(machine, "friend")
