"""People register all the time while a server moves from Prosody's own invites. Imports are killed
and run again. In the end each link has made exactly one account, before or after the move, and the
store knows of each account how it joined."""

import asyncio
import itertools
import json
import random
import re
import sqlite3
from collections import Counter

import pytest

from harness import xmpp
from harness.moving import import_arguments, import_links, old_server, switch
from harness.stories import Invite, eventually, in_store, register
from harness.xmpp import StanzaError, StreamClosed, WaitTimeout

LINKS = 40
GUESTS = 5
KILLS = 8
LONGEST_LIFE = 0.3  # seconds of an import
NO_ANSWER = (StreamClosed, WaitTimeout, ConnectionError)
MAKE = ('> (function() local made, invites = {}, prosody.hosts["example.org"].modules.invites; for n = 1, %d do '
        'table.insert(made, invites.create_account(nil, { source = "api/token/portal" }).uri); end; '
        'return table.concat(made, " "); end)()')


class Guests:
    """People who try links, each under a name with the link's number, on whatever server there is."""

    def __init__(self, server):
        self.server = server
        self.links = []
        self.joined = Counter()
        self.stay = True
        self._in_hand = set()
        self._number = itertools.count()

    def send(self, number):
        """Makes links on the old server and sends them out."""
        self.links += map(Invite, re.findall(r"xmpp:\S+", self.server.prosody.shell(MAKE % number)))

    async def come(self):
        """Tries random links, until it is told to stop. Prosody's own modules let two in who
        present a token before either registers, so nobody else tries the link meanwhile."""
        while self.stay:
            link = random.randrange(len(self.links))
            if link not in self._in_hand:
                self._in_hand.add(link)
                await self.use(link)
                self._in_hand.remove(link)
            await asyncio.sleep(random.uniform(0, 0.1))

    async def use(self, link):
        """Tries a link."""
        try:
            await register(self.server, f"link{link}guest{next(self._number)}", self.links[link])
            self.joined[link] += 1
        except (StanzaError, *NO_ANSWER):
            pass

    async def use_all(self):
        """Tries all links in some order."""
        for link in random.sample(range(len(self.links)), len(self.links)):
            await self.use(link)


@pytest.mark.seconds(180)
@pytest.mark.parametrize("version, storage", [("0.12", "internal"), ("13", "sql")])
async def test_each_link_makes_one_account(version, storage, tmp_path):
    server = old_server(version, tmp_path, storage=storage, log_level="info",
                        settings={"limits": {"wrong_tokens": "unlimited", "registrations": 1_000_000}})
    server.start()
    try:
        guests = Guests(server)
        guests.send(LINKS)
        crowd = [asyncio.create_task(guests.come()) for _ in range(GUESTS)]
        for kill in range(KILLS):
            await import_for(server, random.uniform(0, LONGEST_LIFE))
            await eventually(lambda: len(guests.joined) >= 3 * kill, "guests go on")
            guests.send(1)
        await asyncio.to_thread(import_links, server)
        guests.send(5)
        switch(server)
        guests.stay = False
        await asyncio.gather(*crowd)
        before = len(guests.joined)
        await asyncio.gather(*(guests.use_all() for _ in range(GUESTS)))

        assert 3 * KILLS - 3 <= before < len(guests.links)
        names = accounts(server)
        made = Counter(int(re.match(r"link(\d+)guest", name)[1]) for name in names)
        assert made == Counter(range(len(guests.links)))
        assert guests.joined.keys() <= made.keys()
        known = {jid.partition("@")[0] for jid, in in_store(server, "SELECT jid FROM account")}
        assert names == known
        listed = server.daemon.cli("--json", "list", "--state", "pending").stdout
        assert [json.loads(line)["id"] for line in listed.splitlines()] == []
    finally:
        await xmpp.close_all()
        server.kill()


async def import_for(server, seconds):
    """Runs an import, and kills it after some seconds."""
    server.daemon.write_config()
    command = [str(server.daemon.binary), "--config", str(server.daemon.config_file), *import_arguments(server)]
    importing = await asyncio.create_subprocess_exec(*command, cwd=server.daemon.folder,
                                                     stdout=asyncio.subprocess.DEVNULL,
                                                     stderr=asyncio.subprocess.DEVNULL)
    await asyncio.sleep(seconds)
    if importing.returncode is None:
        importing.kill()
    await importing.wait()


def accounts(server):
    """The names of the guests' accounts, as Prosody has them."""
    data = server.prosody.data_folder
    if server.prosody.storage == "internal":
        names = {path.stem for path in data.glob("example%2eorg/accounts/*.dat")}
    else:
        with sqlite3.connect(data / "prosody.sqlite") as database:
            names = {name for name, in database.execute("SELECT DISTINCT user FROM prosody WHERE store = 'accounts'")}
    return {name for name in names if name.startswith("link")}
