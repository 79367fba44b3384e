"""People register, and at random moments the daemon is killed, or Prosody too. In the end the
inviter, who was offline, has been told of each use that was redeemed, in one message that may have
come more than once, under one id and with one text. No message names anybody else or a wrong number.

`EASY_INVITE_KILLS` says how often they are killed.
"""

import asyncio
import itertools
import json
import os
import random
import re
from collections import Counter, defaultdict

import pytest

from harness.server import Server
from harness.stories import Invite, eventually, generate, in_store, registers
from harness.torture import UNLIMITED
from harness.xmpp import WaitTimeout, child, local_name

KILLS = int(os.environ.get("EASY_INVITE_KILLS", 25))
AT_ONCE = 4  # registrations
MOST_NAMED = 10  # in a message
MOST_FOR_ONE = 1000  # invites that one command makes
LONGEST_WAIT = 0.25  # seconds between two kills
OF_PROSODY = 0.1  # of the kills
COMES_WITHIN = 60  # seconds
SETTLED_WITHIN = 120  # seconds

NUMBER = re.compile(r"(\d+) (?:person has|people have) used an invitation to example.org that names you as the "
                    r"contact.")


@pytest.mark.every_setup
@pytest.mark.seconds(240 + 2 * KILLS)
async def test_each_use_is_told_in_one_message(prosody_version, store_url, tmp_path):
    chance = random.Random(seed := os.urandom(8).hex())
    print(f"seed {seed}")
    with Server(prosody_version, tmp_path, store_url=store_url(), settings=UNLIMITED) as server:
        for_many = generate(server, "--contact", "alice@example.org", "--uses", "unlimited")
        made = server.daemon.cli("--json", "generate", "example.org", "--contact", "alice@example.org",
                                 "--count", str(MOST_FOR_ONE))
        assert made.returncode == 0, made.stderr
        for_one = iter([Invite(json.loads(line)["uri"]) for line in made.stdout.splitlines()])
        numbers = itertools.count()
        came, done = asyncio.Event(), asyncio.Event()

        async def come():
            while not done.is_set():
                invite = next(for_one, for_many) if chance.random() < 0.5 else for_many
                try:
                    if await registers(server, f"guest-{next(numbers):05}", invite):
                        came.set()
                except WaitTimeout:
                    pass
                # The hour is over at once.
                in_store(server, "UPDATE invite SET told_at = NULL WHERE told_at IS NOT NULL")

        guests = [asyncio.create_task(come()) for _ in range(AT_ONCE)]
        for kill in range(KILLS):
            # On a busy machine, nobody might come between kills otherwise.
            if kill % 2:
                came.clear()
                await asyncio.wait_for(came.wait(), COMES_WITHIN)
            await asyncio.sleep(chance.uniform(0, LONGEST_WAIT))
            if chance.random() < OF_PROSODY:
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.revive)
                await asyncio.to_thread(server.daemon.wait_until_logged_in)
            else:
                await asyncio.to_thread(server.daemon.kill)
                await asyncio.to_thread(server.daemon.start)
        done.set()
        await asyncio.gather(*guests)

        def are_told():
            in_store(server, "UPDATE invite SET told_at = NULL WHERE told_at IS NOT NULL")
            return not in_store(server, "SELECT account FROM invite_use WHERE redeemed_at IS NULL") \
                and in_store(server, "SELECT count(*) FROM notice") == [(0,)]

        await eventually(are_told, "all uses are settled and told", SETTLED_WITHIN)
        redeemed = {account for account, in in_store(server, "SELECT account FROM invite_use")}
        texts = await texts_told(server, "alice")
        assert all(len(versions) == 1 for versions in texts.values()), texts
        told, names = 0, Counter()
        for text, in texts.values():
            first, *named = text.splitlines()
            number = int(NUMBER.fullmatch(first)[1])
            assert len(named) == (number if number <= MOST_NAMED else 0), text
            told += number
            names.update(named)
        print(f"{KILLS} kills, {len(redeemed)} uses, {len(texts)} messages")
        assert told == len(redeemed)
        assert names <= Counter(redeemed), names - Counter(redeemed)
        assert names == Counter(redeemed) or any("\n" not in text for text, in texts.values())
        assert len(redeemed) >= KILLS / 4


async def texts_told(server, username) -> dict[str, set[str]]:
    """What a user was told while away: the texts by the ids of their messages."""
    texts = defaultdict(set)
    async with await server.login(username) as user:
        await user.roster()  # its answer comes after everything that waited
        for stanza in user.inbox:
            if local_name(stanza) == "message":
                texts[stanza.get("id")].add(child(stanza, "body").text)
    return texts
