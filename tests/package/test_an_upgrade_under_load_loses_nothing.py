"""`apt install` of a later version replaces a running daemon while people make links and register:
each link that somebody got makes one account, and no link makes two. What the operator has stopped,
disabled or changed stays as it was."""

import asyncio

import pytest

from harness.package import CONFIG, FILE, bring, generate, later_version, type_in, wait_until_it_serves
from harness.stories import eventually, has_account, new_invite, register, registers
from harness.xmpp import StanzaError, StreamClosed

pytestmark = pytest.mark.seconds(300)

INSTALL = f"sudo apt install ./{FILE}"
INVITERS = ("alice", "bob")
MOST_AHEAD = 6  # so many links wait for friends
DOUBTFUL = (StanzaError, StreamClosed, ConnectionError, TimeoutError)


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    return later_version(tmp_path_factory.mktemp("later"))


def version(machine):
    return machine.shell("dpkg-query --show --showformat '${Version}' easy-invite")


def runs_the_installed_program(machine):
    """The program of a running process that was replaced is shown as deleted."""
    pid = machine.show("easy-invite", "MainPID")
    return machine.shell(f"readlink /proc/{pid}/exe").strip() == "/usr/bin/easy-invite"


async def test_each_link_makes_one_account(served, later):
    served.shell(f"""
        sed -i '/^\\[limits\\]/a registrations = "unlimited"\\nforms = "unlimited"' {CONFIG}
        systemctl restart easy-invite
    """)
    wait_until_it_serves(served)
    for name in INVITERS:
        await register(served, name, generate(served))
    links, told, upgraded = [], {}, asyncio.Event()

    async def wanted():
        """Whether another link is to be made, when there are few that nobody has tried."""
        await eventually(lambda: len(links) < len(told) + MOST_AHEAD or upgraded.is_set(), "the load goes on", 60)
        return not upgraded.is_set()

    async def operator():
        while await wanted():
            links.append(await asyncio.to_thread(generate, served))

    async def inviter(name):
        async with await served.login(name) as stream:
            while await wanted():
                try:
                    links.append(await new_invite(stream))
                except StanzaError:  # while the daemon is away
                    await asyncio.sleep(0.1)

    async def friends(first):
        for number in range(first, 10_000, 2):
            await eventually(lambda: len(links) > number or upgraded.is_set(), "there is a link", 60)
            if upgraded.is_set():
                return
            try:
                await register(served, f"friend{number}", links[number])
                told[number] = True
            except DOUBTFUL:
                told[number] = False

    async def upgrade():
        try:
            await eventually(lambda: len(told) >= 6, "there is load", 60)
            bring(served, later)
            await asyncio.to_thread(type_in, served, INSTALL)
            after = len(told)
            await eventually(lambda: len(told) >= after + 6, "the load goes on", 60)
        finally:
            upgraded.set()

    pid, before = served.show("easy-invite", "MainPID"), version(served)
    await asyncio.gather(upgrade(), operator(), *map(inviter, INVITERS), friends(0), friends(1))
    assert version(served) == before + "+later"
    assert served.show("easy-invite", "MainPID") != pid and runs_the_installed_program(served)
    assert served.show("easy-invite", "NRestarts") == "0", "it ended by itself"

    for number, link in enumerate(links):
        has = await has_account(served, f"friend{number}")
        if told.get(number):
            assert has, f"friend{number} was told of an account"
        again = await registers(served, f"again{number}", link)
        assert has != again, f"friend{number}: {has}, a second one: {again}"
    assert len(links) == len({link.token for link in links})


async def test_the_module_is_of_the_same_version_after_a_restart_of_prosody(served):
    served.shell("systemctl restart prosody")
    wait_until_it_serves(served)


@pytest.mark.parametrize("state", ["inactive enabled", "inactive disabled", "active disabled", "failed enabled"])
async def test_what_the_operator_has_stopped_or_disabled_stays_so(served, later, state):
    active, enabled = state.split()
    served.shell(f"systemctl {enabled.removesuffix('d')} easy-invite; systemctl restart easy-invite")
    if active == "failed":
        served.shell(f"sed -i 's/^jid = /jit = /' {CONFIG}; systemctl restart easy-invite || true")
    elif active == "inactive":
        served.shell("systemctl stop easy-invite")
    bring(served, later)
    type_in(served, INSTALL.replace("install", "install --reinstall"))
    try:
        assert served.show("easy-invite", "ActiveState") == active
        assert served.show("easy-invite", "UnitFileState") == enabled
    finally:
        served.shell(f"sed -i 's/^jit = /jid = /' {CONFIG}")
        served.shell("systemctl enable easy-invite; systemctl restart easy-invite")


async def test_a_masked_unit_and_a_changed_one_stay_so(served, later):
    served.shell("""
        mkdir /etc/systemd/system/easy-invite.service.d
        printf '[Service]\\nEnvironment=EASY_INVITE_LOG=debug\\n' > /etc/systemd/system/easy-invite.service.d/ours.conf
        systemctl daemon-reload
        systemctl stop easy-invite
        systemctl mask --runtime easy-invite
    """)
    bring(served, later)
    type_in(served, INSTALL.replace("install", "install --reinstall"))
    assert served.show("easy-invite", "ActiveState") == "inactive"
    assert served.show("easy-invite", "LoadState") == "masked"
    served.shell("systemctl unmask --runtime easy-invite; systemctl start easy-invite")
    assert served.show("easy-invite", "Environment") == "EASY_INVITE_LOG=debug"
