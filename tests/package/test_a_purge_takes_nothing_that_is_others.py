"""A purge deletes what mod_easy_invite has stored among Prosody's data, and only that. It does so as
Prosody's user and follows no links, since that user could put one anywhere in there.
"""

import pytest

from harness.package import COMMANDS, bring, type_in

pytestmark = pytest.mark.seconds(180)

DATA = "/var/lib/prosody"
HOST = f"{DATA}/example%2eorg"
OURS = f"{HOST}/easy_invite/alice.dat {HOST}/easy_invite_grants/alice.dat {HOST}/easy_invite_untold.dat"
# An uploaded file keeps the name that its user gave it, and an account may have any name.
OTHERS = f"{DATA}/http_upload/abc/easy_invite.png {HOST}/easyinvite/alice.dat {HOST}/accounts/easy%5finvite.dat"


def test_others_files_and_what_links_lead_to_stay(machine):
    bring(machine)
    type_in(machine, COMMANDS[0])
    machine.shell(f"""
        for file in {OURS} {OTHERS}; do mkdir -p $(dirname $file); touch $file; done
        ln -s /root/precious {HOST}/easy_invite/link
        ln -s /root/precious {HOST}/easy_invite_link
        chown -R prosody:prosody {DATA}
        mkdir -p /root/precious /var/lib/easy-invite
        touch /root/precious/easy_invite /root/precious.lua
        ln -s /root/precious /var/lib/easy-invite/link
        ln -s /root/precious.lua /etc/prosody/conf.d/easy-invite.cfg.lua
    """)
    type_in(machine, "sudo apt purge easy-invite")
    machine.shell(f"ls {OTHERS} /root/precious/easy_invite /root/precious.lua")
    assert machine.shell(f"find {HOST} /etc/prosody -name 'easy?invite*'") == ""
    assert machine.run("ls", "-d", "/var/lib/easy-invite").returncode != 0


def test_a_purge_works_on_after_prosody_is_gone_and_twice(machine):
    bring(machine)
    for command in COMMANDS[:2]:
        type_in(machine, command)
    machine.shell("apt-get purge --yes prosody; userdel prosody || true; touch /etc/easy-invite/config.toml")
    for _ in range(2):
        assert "cannot log in" not in type_in(machine, "sudo dpkg --purge easy-invite")
    assert machine.run("ls", "/etc/easy-invite").returncode != 0
