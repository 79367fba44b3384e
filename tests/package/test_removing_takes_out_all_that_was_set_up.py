"""docs/removing.md, line by line, on a machine where all is set up that the documents tell of: nothing
of easy-invite is left, users keep their accounts, and nobody registers meanwhile."""

import re

import pytest

from harness.daemon import REPOSITORY
from harness.package import CERTIFICATE, CONFIG, FILE, bring, generate, type_in, wait_until_it_serves
from harness.stories import has_account, register, registers

DOCS = REPOSITORY / "docs"
PAGE = (DOCS / "removing.md").read_text()
LINES = "/etc/prosody/conf.d/easy-invite.cfg.lua"
SOURCE = f"""
dpkg-deb --extract /home/olivia/{FILE} /tmp/built
cp /tmp/built/usr/bin/easy-invite /usr/local/bin/
cp /tmp/contrib/easy-invite.service /etc/systemd/system/
rm -r /tmp/built /tmp/contrib
useradd --system --user-group --shell /usr/sbin/nologin easy-invite
mkdir -p /etc/easy-invite
easy-invite prosody-module --install /usr/local/lib/prosody/modules
systemctl daemon-reload
"""


def block(page: str, before: str, language: str = "sh") -> str:
    """The first block of a page behind these words."""
    return re.search(rf"^```{language}\n(.*?)^```$", page.split(before)[1], re.MULTILINE | re.DOTALL)[1]


def write(machine, path: str, text: str) -> None:
    machine.shell(f"mkdir -p $(dirname {path})")
    assert machine.run("tee", path, input=text).returncode == 0


def set_up(machine, how: str) -> None:
    """The program, as a package or built from source, and the lines for Prosody."""
    bring(machine)
    if how == "package":
        type_in(machine, f"sudo apt install ./{FILE}")
        machine.shell("apt-mark auto prosody")  # as where apt has brought it along
    else:
        machine.copy_in(REPOSITORY / "contrib" / "easy-invite.service", "/tmp/contrib/easy-invite.service")
        machine.shell(SOURCE)
    machine.shell(CERTIFICATE)
    write(machine, LINES, machine.shell(f"easy-invite init --host example.org --output {CONFIG}"))
    machine.shell("systemctl restart prosody; systemctl enable --now easy-invite")
    wait_until_it_serves(machine)


def set_up_around(machine) -> None:
    """Nightly backups, a site in nginx, bans, and rules for Prometheus."""
    operations, units = (DOCS / "operations.md").read_text(), "/etc/systemd/system/easy-invite-backup"
    for kind, before in (("service", "For a backup every night"), ("timer", "easy-invite-backup.timer`:")):
        write(machine, f"{units}.{kind}", block(operations, before, "ini"))
    machine.shell("systemctl daemon-reload; systemctl enable --now easy-invite-backup.timer; "
                  "systemctl start easy-invite-backup; ls /var/backups/easy-invite/*.db; "
                  "ls /var/lib/systemd/timers/*easy-invite*")
    write(machine, "/etc/cron.daily/easy-invite", block(operations, "With cron instead"))
    site = block((DOCS / "web.md").read_text(), "### nginx", "nginx")
    site = re.sub(r"/etc/letsencrypt/\S+/(fullchain|privkey)\.pem", "/etc/prosody/certs/example.org.crt", site, count=1)
    write(machine, "/etc/nginx/sites-enabled/easy-invite",
          re.sub(r"/etc/letsencrypt/\S+/privkey\.pem", "/etc/prosody/certs/example.org.key", site))
    type_in(machine, "sudo apt install nginx-light fail2ban python3-systemd")
    for file in (REPOSITORY / "contrib" / "fail2ban").glob("*/easy-invite.conf"):
        machine.copy_in(file, f"/etc/fail2ban/{file.parent.name}/{file.name}")
    machine.copy_in(REPOSITORY / "contrib" / "prometheus" / "easy-invite.rules.yml",
                    "/etc/prometheus/easy-invite.rules.yml")
    machine.shell("systemctl restart fail2ban nginx; nginx -T 2>&1 | grep -q invite.example.org")


@pytest.mark.seconds(300)
@pytest.mark.parametrize(("how", "words"), [("package", "Debian's package"), ("source", "built it from source")])
async def test_by_an_operator_who_follows_the_page(machine, how, words):
    set_up(machine, how)
    set_up_around(machine)
    await register(machine, "alice", generate(machine))
    link = generate(machine)

    async def assert_as_it_should_be() -> None:
        assert not await registers(machine, "mallory", None) and not await registers(machine, "mallory", link)
        assert await has_account(machine, "alice")

    def follow(before: str) -> str:
        return machine.shell(block(PAGE, before))

    found = follow("## 1. ")
    assert LINES in found and 'Component "invite.example.org"' in found and '"invites_register"' in found
    machine.shell(f"rm {LINES}")
    write(machine, "/etc/prosody/conf.d/example.org.cfg.lua", 'VirtualHost "example.org"\n')
    follow("if you added it for easy-invite")
    await assert_as_it_should_be()

    machine.run("tee", "/etc/apt/apt.conf.d/90yes", input='APT::Get::Assume-Yes "true";\n')
    follow(words)
    await assert_as_it_should_be()
    follow("## 3. ")
    assert follow("The daemon's user, if") == "", "there is no file of the daemon's user"
    for before in ("A separate site in nginx", "fail2ban. ", "Nightly backups"):
        follow(before)
    machine.shell(re.search(r"^rm /etc/cron.*$", PAGE, re.MULTILINE)[0])
    machine.shell(re.search(r"^rm /etc/prometheus.*$", PAGE, re.MULTILINE)[0])

    machine.shell(f"rm /home/olivia/{FILE}; apt-get autoremove; systemctl restart prosody")
    assert follow("## 5. ") == ""
    assert "easy" not in machine.shell("systemctl list-units --all --plain; systemctl list-unit-files")
    assert [machine.show(unit, "ActiveState") for unit in ("nginx", "prosody")] == ["active", "active"]
    await assert_as_it_should_be()
