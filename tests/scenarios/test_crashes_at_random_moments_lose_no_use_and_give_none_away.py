"""Promise 2, wherever it hurts: people register, two with each link, while the daemon or Prosody is killed again and
again. Everybody tries until they are told yes or no. In the end each link has made exactly one account."""

import asyncio
import json
import os
import random
import time

import pytest

from harness.stories import Invite, eventually, has_account, register
from harness.xmpp import StanzaError, StreamClosed, WaitTimeout

CRASHES = 10
LINKS_PER_CRASH = 4
LONGEST_REGISTRATION = 0.06  # seconds; without crashes, eight at a time take about as long
PATIENCE = 20


def kill_daemon(server):
    server.daemon.kill()
    server.daemon.start()


def kill_prosody(server):
    server.prosody.kill()
    server.prosody.start()
    server.daemon.restart()  # by itself it would wait longer and longer before it connects again


@pytest.mark.parametrize("crash", [kill_daemon, kill_prosody])
async def test_every_link_makes_one_account(make_server, crash):
    server, seed = make_server(), os.urandom(8).hex()
    chance, links = random.Random(seed), generate_many(server, CRASHES * LINKS_PER_CRASH)
    guests = []
    for number, invite in enumerate(links):
        for name in names(number):
            guests.append(asyncio.create_task(persist(server, name, invite, chance.uniform(0, LONGEST_REGISTRATION))))
        if number % LINKS_PER_CRASH == LINKS_PER_CRASH - 1:
            await asyncio.sleep(chance.uniform(0, 2 * LONGEST_REGISTRATION))
            crash(server)
    await asyncio.gather(*guests)

    accounts = [[name for name in names(number) if await made(server, name)] for number in range(len(links))]
    assert [found for found in accounts if len(found) != 1] == [], f"seed {seed}: {accounts}"
    await eventually(lambda: counted(server) == len(links), f"every use is counted (seed {seed})")
    async with await server.login("alice") as alice:
        contacts = {f"{name}@example.org" for [name] in accounts}
        assert {item.jid for item in (await alice.roster()).values() if item.subscription == "both"} == contacts
    for [name] in accounts:
        async with await server.login(name) as guest:
            assert (await guest.roster())["alice@example.org"].subscription == "both", f"seed {seed}: {name}"


def names(number):
    return f"guest-{number}-a", f"guest-{number}-b"


def generate_many(server, number):
    made = server.daemon.cli("--json", "generate", "example.org", "--contact", "alice@example.org",
                             "--count", str(number))
    return [Invite(json.loads(line)["uri"]) for line in made.stdout.splitlines()]


async def persist(server, username, invite, delay):
    """Registers, again and again while the failure is a temporary one, or a name is taken that has no account."""
    await asyncio.sleep(delay)
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        try:
            return await register(server, username, invite)
        except StanzaError as refusal:
            taken = refusal.condition == "conflict" and await made(server, username)
            if taken or refusal.condition == "item-not-found":
                return
        except (StreamClosed, WaitTimeout, ConnectionError):
            pass
        await asyncio.sleep(0.1)


async def made(server, username):
    try:
        return await has_account(server, username)
    except (StreamClosed, WaitTimeout, ConnectionError):
        return False


def counted(server):
    """How many invites are used up."""
    listed = server.daemon.cli("--json", "list", "--state", "redeemed", "--limit", "1000")
    return len(listed.stdout.splitlines())
