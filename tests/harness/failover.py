"""Failovers under load: of two PostgreSQL servers, the standby takes over again and again, while
people make invites and register on two machines. Afterwards, what must hold is counted.

`scripts/torture --failover [MINUTES]` runs this for any length of time. A scenario runs it once.
"""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from .crowd import INVITERS, Crowd
from .postgres import Pair
from .server import USERS, Server
from .stories import accounts_on_disk, differences, eventually, in_store
from .tally import Tally

SYNCHRONOUS_COMMIT = ("on", "remote_apply")  # by turns
SERVED = 2  # links of each machine that make their account between two steps
LONGEST_SETTLING = 60  # seconds


def _kill_while_commits_wait(pair: Pair) -> None:
    pair.hold_commits()
    pair.primary.kill()


# How the old primary is kept from writing, if it is. Without a fence it runs on beside the new one.
FENCES: dict[str, Callable[[Pair], None]] = {
    "kill primary": lambda pair: pair.primary.kill(),
    "kill primary while commits wait": _kill_while_commits_wait,
    "make primary read-only": lambda pair: pair.primary.set("default_transaction_read_only", "on"),
    "pause primary": lambda pair: pair.primary.pause(),
    "leave primary alone": lambda pair: None,
}
FAILOVERS = [*2 * ["kill primary"], *4 * ["kill primary while commits wait"], *2 * ["make primary read-only"],
             "pause primary", "leave primary alone"]


async def fail_over(servers: Sequence[Server], pair: Pair, seed: str) -> Tally:
    """Fails over ten times under load, and counts. Two servers run, with one store on the pair. Of
    the two guests of a link, each registers with another server.

    Each server has its own accounts. An inviter who is younger on the other machine would be
    somebody else there, so the accounts of Prosody 13, which knows their age, must be the older."""
    chance = random.Random(seed)
    ways = chance.sample(FAILOVERS, len(FAILOVERS))
    tally = Tally(faults=Counter(ways))
    one, other = servers
    crowds = Crowd(one, "one", rivals=other), Crowd(other, "other", rivals=one)

    async def more() -> None:
        await asyncio.gather(*(crowd.more(SERVED) for crowd in crowds))

    async with crowds[0], crowds[1]:
        for turn, way in enumerate(ways):
            await more()
            old = pair.primary
            await asyncio.to_thread(FENCES[way], pair)
            await asyncio.to_thread(pair.fail_over)
            await more()
            await asyncio.to_thread(old.resume)
            await more()
            commit = SYNCHRONOUS_COMMIT[turn % 2]
            await asyncio.to_thread(pair.join, commit, rewind=chance.choice([True, False]))
    await _count(crowds, tally)
    return tally


async def _count(crowds: tuple[Crowd, Crowd], tally: Tally) -> None:
    """Checks that each link that somebody was told of is there, and has made one account, which is
    counted once and has its contact."""
    servers = [crowd.server for crowd in crowds]
    open_uses = "SELECT account FROM invite_use WHERE redeemed_at IS NULL"
    try:
        await eventually(lambda: not in_store(servers[0], open_uses), "all is settled", seconds=LONGEST_SETTLING)
    except AssertionError:
        tally.losses.append(f"uses stay open: {in_store(servers[0], open_uses)}")
    # The first three bytes of a stored hash are not the hash's.
    kept = {bytes(token_hash)[3:]: (uses, taken) for token_hash, uses, taken in in_store(
        servers[0], "SELECT token_hash, uses, taken FROM invite")}
    accounts, rosters = ({server: _of_users(server, store) for server in servers} for store in ("accounts", "roster"))
    contacts = {(server, inviter): await _contacts(server, inviter) for server in servers for inviter in INVITERS}
    expected = {server: {*USERS} for server in servers}
    for crowd in crowds:
        tally.refusals["temporary"] += crowd.refusals
        for link in crowd.links:
            made = [(server, guest) for server, guest in zip(crowd.servers, link.guests) if guest in accounts[server]]
            tally.invites += 1
            tally.accounts += len(made)
            counts = kept.get(hashlib.sha256(link.invite.token.encode()).digest()[3:])
            if counts is None:
                tally.losses.append(f"an acknowledged invite is not there: {link}")
            elif counts != (1, 1):
                tally.losses.append(f"{counts} uses are counted and taken: {link}")
            if not made:
                tally.losses.append(f"a link has made no account: {link}")
            if len(made) > 1:
                tally.doubles.append(f"a link for one has made two accounts: {link}")
            if not {*link.accounts} <= {guest for _, guest in made}:
                tally.losses.append(f"an account was told of and is not there: {link}")
            for server, guest in made:
                expected[server].add(guest)
                theirs = rosters[server].get(guest, "")
                if guest not in contacts[server, link.inviter] or not (link.inviter in theirs and '"both"' in theirs):
                    tally.losses.append(f"{guest} and {link.inviter} are no contacts")
    for server in servers:
        if strangers := {*accounts[server]} - expected[server]:
            tally.doubles.append(f"no link has made these accounts: {sorted(strangers)}")
    if (counted := sum(uses for uses, _ in kept.values())) != tally.accounts:
        tally.losses.append(f"{counted} uses are counted, of {tally.accounts}")
    tally.losses += differences(servers[0])


async def _contacts(server: Server, username: str) -> set[str]:
    """The local users who are a user's contacts, both ways."""
    async with await server.login(username) as stream:
        return {address.partition("@")[0] for address, item in (await stream.roster()).items()
                if item.subscription == "both"}


def _of_users(server: Server, store: str) -> dict[str, str]:
    """What Prosody keeps in one of its stores, by user."""
    return {Path(file).stem.replace("%2d", "-"): content.decode() for file, content in accounts_on_disk(server).items()
            if file.startswith(f"{store}/")}
