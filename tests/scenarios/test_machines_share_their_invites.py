"""Two machines, each with its own Prosody and daemon, serve one VirtualHost from one PostgreSQL
store. An invite has the same state on both, even while a part of one machine is down."""

import asyncio
import time

import pytest

from harness.process import PATIENCE
from harness.relay import Relay
from harness.stories import (eventually, generate, has_account, new_invite, register, registers, revoke, show, used,
                             uses_taken)
from harness.xmpp import StanzaError, StreamClosed, WaitTimeout

pytestmark = pytest.mark.store("postgres")

USES, GUESTS, GUESTS_EVERY = 12, 40, 0.05
TEMPORARY = {"resource-constraint", "remote-server-timeout", "service-unavailable"}


@pytest.fixture
def machines(make_server, store_url):
    """One with Prosody 0.12, one with 13."""
    shared = store_url()
    # Each has its own accounts. An inviter who is younger on the other machine would be somebody
    # else there, so the accounts of 13, which knows their age, come first.
    there = make_server(version="13", store_url=shared)
    return [make_server(version="0.12", store_url=shared), there]


async def test_an_invite_of_one_is_redeemed_on_the_other(machines):
    here, there = machines
    async with await here.login("alice") as alice:
        invite = await new_invite(alice)
    await register(there, "carol", invite)
    await used(here, invite)
    with pytest.raises(StanzaError, match="item-not-found"):
        await register(here, "dave", invite)
    async with await there.login("carol") as carol:
        assert (await carol.roster())["alice@example.org"].subscription == "both"


async def test_an_invite_that_one_revokes_is_over_on_the_other(machines):
    here, there = machines
    presented, contact = generate(here), generate(here, "--contact", "alice@example.org", "--contact-only")
    async with await there.connect() as stream:
        await stream.preauth(presented.token)
        revoke(here, presented)
        revoke(here, contact)
        with pytest.raises(StanzaError, match="not-acceptable"):
            await stream.registration_set("carol", "a good password")
    async with await there.login("bob") as bob, await there.login("alice") as alice:
        bob.subscribe("alice@example.org", contact.token)
        await alice.expect_stanza("presence", type="subscribe")  # she is asked, as without an invite


async def test_a_username_reserved_on_one_is_reserved_on_the_other(machines):
    here, there = machines
    for_carol, for_anybody = generate(here, "--username", "carol"), generate(there)
    with pytest.raises(StanzaError, match="conflict"):
        await register(there, "carol", for_anybody)
    await register(there, "carol", for_carol)


@pytest.mark.seconds(120)
async def test_no_use_is_added_or_lost_while_a_daemon_is_killed_under_load(machines):
    here, there = machines
    invite = generate(here, "--uses", str(USES), "--contact", "alice@example.org")
    for number, machine in enumerate(machines):
        await register(machine, f"guest-{number}", invite)
    guests = [asyncio.create_task(persist(machines[number % 2], f"guest-{number}", invite, number * GUESTS_EVERY))
              for number in range(len(machines), GUESTS)]
    for _ in range(3):
        await asyncio.sleep(3 * GUESTS_EVERY)
        await asyncio.to_thread(here.daemon.kill)
        await asyncio.to_thread(here.daemon.start)
    in_all = len(machines) + sum(await asyncio.gather(*guests))
    await eventually(lambda: show(there, invite)["uses"] == USES, "every use is counted")
    accounts = [[f"guest-{number}" for number in range(GUESTS) if await has_account(machine, f"guest-{number}")]
                for machine in machines]
    assert in_all <= len(accounts[0]) + len(accounts[1]) == USES == uses_taken(here, invite)
    for machine, guests in zip(machines, accounts):
        async with await machine.login("alice") as alice:
            assert {f"{guest}@example.org" for guest in guests} <= set(await alice.roster())


async def test_a_use_in_progress_waits_for_the_machine_that_reserved_it(machines):
    """Only the server that was making an account knows whether it did."""
    here, there = machines
    invite = generate(there)
    with Relay(here.prosody.component_port) as relay:
        here.daemon.stop()
        here.daemon.config["component"]["server"] = relay.address
        here.daemon.start()
        relay.before("<fate ", here.kill)
        await registers(here, "carol", invite)  # no daemon hears of it, and she may not either
        await relay.until_struck()
        there.daemon.restart()  # it settles open reservations at once, and then every ten seconds
        with pytest.raises(StanzaError, match="wait/resource-constraint"):
            await register(there, "dave", invite)
        await asyncio.sleep(12)
        assert (show(there, invite)["uses"], uses_taken(there, invite)) == (0, 1)
        here.prosody.start()
        here.daemon.start()
        await used(there, invite)
        assert await has_account(here, "carol") and not await has_account(there, "dave")


async def test_the_other_goes_on_while_one_is_gone(machines):
    here, there = machines
    here.kill()
    async with await there.login("alice") as alice:
        await register(there, "carol", await new_invite(alice))
    assert await has_account(there, "carol")


async def persist(server, username, invite, delay):
    """Registers, again after each temporary failure. Returns whether a success was reported."""
    await asyncio.sleep(delay)
    deadline = time.monotonic() + 2 * PATIENCE  # a use whose fate nobody knows is looked at within twenty seconds
    while time.monotonic() < deadline:
        try:
            await register(server, username, invite)
            return True
        except StanzaError as refusal:
            if refusal.condition not in TEMPORARY:
                return False
        except (StreamClosed, WaitTimeout, ConnectionError):
            pass
        await asyncio.sleep(0.1)
    raise AssertionError(f"{username} never got a final answer")
