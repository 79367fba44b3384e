"""Random faults while people register, some with passwords that cannot be stored. Roles, groups and
contacts cannot always be given. Afterwards, what must hold is counted.

`scripts/torture [MINUTES]` runs this for any length of time. A scenario runs a short form.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import disk, xmpp
from .failover import fail_over
from .postgres import Pair, Postgres
from .process import PATIENCE, ProcessFailed
from .prosody import INVITE_HOST
from .relay import Relay
from .server import USERS, Server, password_of
from .stories import (Invite, accounts_on_disk, differences, eventually, has_account, in_store, new_invite,
                      register, show)
from .tally import Tally
from .web import Visitor, web_settings
from .xmpp import StanzaError, StreamClosed, WaitTimeout

LINKS_PER_ROUND = 9
FAULTS_PER_ROUND = 8
DISK_FAULTS_PER_ROUND = 2
LONGEST_DISK_FAULT = 0.5  # seconds
BAD_PASSWORD = 8 * "\ue000"  # SASLprep refuses it
MISTAKES = 0.3  # of the guests' tries
BROWSERS = 0.3  # of the guests
LONGEST_WAIT = 0.25  # seconds between two faults
LONGEST_PAUSE = 1  # second that the daemon hangs
LONGEST_PASSAGE = 4000  # bytes before the wire is cut: about as many as a registration has
LONGEST_SETTLING = 120  # seconds: a grant fails for good after three failures over half a minute or more
ROLE, GROUP = "prosody:member", "family"
ENDED, TAKEN = ("cancel/item-not-found", "410"), ("cancel/conflict", "409")
LOST = (StreamClosed, WaitTimeout, ConnectionError)
UNLIMITED = {"limits": {"registrations": 1_000_000, "pages": "unlimited", "forms": "unlimited"},
             "hosts": {"example.org": {"invites_per_day": 1_000_000, "pending_invites": 1_000_000}}}


class Torture:
    """One server, whose parts fail again and again."""

    def __init__(self, server: Server, relay: Relay, postgres: Postgres | None, seed: str):
        """For a running server whose daemon reaches Prosody through the relay.
        `postgres` is its store's server."""
        self.server = server
        self.tally = Tally()
        self._relay = relay
        self._postgres = postgres
        self._chance = random.Random(seed)
        self._told: set[str] = set()
        self._rounds = itertools.count(1)

    async def round(self) -> None:
        """People make invites and register, two for each use, while things fail.
        Then everything is counted."""
        number = next(self._rounds)
        inviting = asyncio.create_task(self._invite(number))
        guests: list[asyncio.Task] = []
        links = self._generate()
        for link, (invite, uses) in enumerate(links):
            names = [f"guest-{number}-{link}-{guest}" for guest in range(2 * uses)]
            guests += [asyncio.create_task(self._persist(name, invite)) for name in names]
        for fault in self._faults():
            await asyncio.sleep(self._chance.uniform(0, LONGEST_WAIT))
            self.tally.faults[fault.__name__.strip("_").replace("_", " ")] += 1
            await asyncio.to_thread(fault)
        made_by_users = await inviting
        await asyncio.gather(*guests)
        self.tally.invites += len(links) + len(made_by_users)
        await self._settle()
        await self._count(number, links)
        self._compare_accounts()
        await self._look_for(made_by_users)

    # What people do

    def _generate(self) -> list[tuple[Invite, int]]:
        """Makes invites of alice. Returns them with their numbers of uses."""
        links = []
        for uses, count in ((1, LINKS_PER_ROUND - 2), (3, 2)):
            made = self.server.daemon.cli("--json", "generate", "example.org", "--contact", "alice@example.org",
                                          "--role", ROLE, "--group", GROUP,
                                          "--uses", str(uses), "--count", str(count))
            assert made.returncode == 0, made.stderr
            links += [(Invite(json.loads(line)["uri"]), uses) for line in made.stdout.splitlines()]
        return links

    async def _invite(self, number: int) -> list[Invite]:
        """bob makes invites in his app during the round. Returns those that were confirmed."""
        made = []
        for _ in range(LINKS_PER_ROUND):
            try:
                async with await self.server.login("bob", resource=f"phone-{number}") as bob:
                    made.append(await new_invite(bob))
            except (StanzaError, xmpp.AuthenticationError, *LOST):
                pass
            await asyncio.sleep(LONGEST_WAIT)
        return made

    async def _persist(self, name: str, invite: Invite) -> None:
        """Registers until there is a final answer."""
        await asyncio.sleep(self._chance.uniform(0, FAULTS_PER_ROUND * LONGEST_WAIT))
        visitor = Visitor(self.server) if self._chance.random() < BROWSERS else None
        give_up = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < give_up:
            mistaken = self._chance.random() < MISTAKES
            password = BAD_PASSWORD if mistaken else password_of(name)
            answer = await (self._fill_in(visitor, name, invite, password) if visitor
                            else self._register(name, invite, password))
            if answer == "welcome":
                if mistaken:
                    self.tally.losses.append(f"{name} has a password that cannot be stored")
                self._told.add(name)
                return
            self.tally.refusals[answer] += 1
            if answer in ENDED or answer in TAKEN and await self._has(name):
                return
            await asyncio.sleep(0.1)
        self.tally.losses.append(f"{name} never got a final answer")

    async def _register(self, name: str, invite: Invite, password: str) -> str:
        """Registers in a chat client. Returns what it was told."""
        try:
            await register(self.server, name, invite, password=password)
        except StanzaError as refusal:
            return f"{refusal.type}/{refusal.condition}"
        except LOST:
            return "nothing"
        return "welcome"

    async def _fill_in(self, visitor: Visitor, name: str, invite: Invite, password: str) -> str:
        """The same in a browser."""
        path = visitor.path(invite, "register")
        try:
            form = await visitor.get(path)
            if form.status != 200:
                return str(form.status)
            status = await visitor.status_of(path, {**form.fields, "username": name, "password": password})
        except (OSError, EOFError, ValueError):
            status = None
        return {200: "welcome", None: "nothing"}.get(status, str(status))

    # What fails

    def _faults(self) -> list[Callable[[], None]]:
        """What fails in a round."""
        faults = [self._kill_daemon, self._kill_prosody, self._kill_both, self._pause_daemon, self._cut_wire]
        if self._postgres:
            faults += [self._kill_postgres, self._end_connections]
        chosen = self._chance.choices(faults, k=FAULTS_PER_ROUND)
        chosen += self._chance.choices([self._fill_disk, self._make_disk_read_only], k=DISK_FAULTS_PER_ROUND)
        self._chance.shuffle(chosen)
        return chosen

    def _kill_daemon(self) -> None:
        self.server.daemon.kill()
        self.server.daemon.start()

    def _kill_prosody(self) -> None:
        self.server.prosody.kill()
        self.server.prosody.start()
        self.server.daemon.restart()  # by itself, it would wait longer before each new connection

    def _kill_both(self) -> None:
        self.server.kill()
        self.server.prosody.start()
        self.server.daemon.start()

    def _pause_daemon(self) -> None:
        self.server.daemon.pause()
        time.sleep(self._chance.uniform(0, LONGEST_PAUSE))
        self.server.daemon.resume()

    def _cut_wire(self) -> None:
        self._relay.cut_after(self._chance.randrange(LONGEST_PASSAGE))

    def _fill_disk(self) -> None:
        ballast = self.server.prosody.data_folder / "ballast"
        disk.fill(ballast)
        time.sleep(self._chance.uniform(0, LONGEST_DISK_FAULT))
        ballast.unlink()

    def _make_disk_read_only(self) -> None:
        disk.remount(self.server.prosody.data_folder, "ro")
        time.sleep(self._chance.uniform(0, LONGEST_DISK_FAULT))
        disk.remount(self.server.prosody.data_folder, "rw")

    def _kill_postgres(self) -> None:
        self._postgres.kill()
        self._postgres.start()

    def _end_connections(self) -> None:
        self._postgres.end_connections()

    # What must hold

    async def _has(self, name: str) -> bool:
        try:
            return await has_account(self.server, name)
        except LOST:
            return False

    async def _settle(self) -> None:
        """Waits until it is known what became of every reservation."""
        open_uses = "SELECT account FROM invite_use WHERE redeemed_at IS NULL"
        try:
            await eventually(lambda: not in_store(self.server, open_uses), "all is settled", seconds=LONGEST_SETTLING)
        except AssertionError:
            self.tally.losses.append(f"uses stay open: {in_store(self.server, open_uses)}")

    @staticmethod
    def _name(file: str) -> str:
        """The user whose file it is."""
        return Path(file).stem.replace("%2d", "-")

    def _compare_accounts(self) -> None:
        """Checks that Prosody has the accounts of which somebody was told, or which the store counts
        where the telling was cut, and keeps nothing for anybody else."""
        files = accounts_on_disk(self.server)
        accounts = {self._name(file) for file in files if file.startswith("accounts/")}
        counted = {account.partition("@")[0] for account, in in_store(
            self.server, "SELECT account FROM invite_use WHERE redeemed_at IS NOT NULL")}
        for what, names in {"told of but not there": self._told - accounts, "counted but not there": counted - accounts,
                            "there, but nobody was told": accounts - self._told - counted - {*USERS}}.items():
            if names:
                self.tally.losses.append(f"accounts {what}: {sorted(names)}")
        rests = {file for file in files if self._name(file) not in accounts}
        if rests:
            self.tally.losses.append(f"rests: {sorted(rests)}")

    async def _count(self, number: int, links: list[tuple[Invite, int]]) -> None:
        """Checks that every use has made one account, with all that its link grants, and is counted."""
        accounts, not_given = [], []
        for link, (invite, uses) in enumerate(links):
            names = [f"guest-{number}-{link}-{guest}" for guest in range(2 * uses)]
            made = [name for name in names if await self._has(name)]
            accounts += made
            not_given += [text for shortfall in show(self.server, invite).get("shortfalls", [])
                          for text in shortfall["failed"]]
            if len(made) > uses:
                self.tally.doubles.append(f"{len(made)} accounts by a link for {uses}: {made}")
            elif len(made) < uses:
                self.tally.losses.append(f"{len(made)} accounts by a link for {uses}: {made}")
        self.tally.accounts += len(accounts)
        try:
            await eventually(lambda: self._counted() == self.tally.accounts, "every use is counted", seconds=30)
        except AssertionError:
            self.tally.losses.append(f"{self._counted()} uses counted, of {self.tally.accounts}")
        self.tally.shortfalls += len(not_given)
        async with await self.server.login("alice") as alice:
            contacts, log = await alice.roster(), self.server.prosody.log
        files = accounts_on_disk(self.server)
        for name in accounts:
            async with await self.server.login(name) as guest:
                both = (contacts.get(f"{name}@example.org"), (await guest.roster()).get("alice@example.org"))
            roles = [content for file, content in files.items() if self._name(file) == name and "roles/" in file]
            for what, has in {"a contact": all(item and item.subscription == "both" for item in both),
                              "the role": any(ROLE.encode() in content for content in roles),
                              "the group": f"Members of {GROUP}: {name}\n" in log}.items():
                if not has and not any(name in text and what.split()[-1] in text for text in not_given):
                    self.tally.losses.append(f"{name} lacks {what}")

    def _counted(self) -> int:
        listed = self.server.daemon.cli("--json", "list", "--state", "all", "--limit", "1000000")
        return sum(json.loads(line)["uses"] for line in listed.stdout.splitlines())

    async def _look_for(self, made: list[Invite]) -> None:
        """Checks that every confirmed invite exists, and that the store is sound."""
        for invite in made:
            shown = self.server.daemon.cli("show", "-", input=invite.uri)
            if shown.returncode != 0:
                self.tally.losses.append(f"an acknowledged invite: {shown.stderr}")
        self.tally.losses.extend(differences(self.server))
        try:  # the wire may be cut only now, and then the daemon connects again first
            await eventually(lambda: self.server.daemon.cli("check").returncode == 0, "all is well", seconds=30)
        except AssertionError:
            self.tally.losses.append(f"check: {self.server.daemon.cli('check').stdout}")


async def torture(server: Server, postgres: Postgres | None, seed: str, *, kills: int = 0, seconds: float = 0) -> Tally:
    """Runs rounds until there were so many kills and so much time has passed.
    The server must not have been started, and have no users yet."""
    server.daemon.config["web"] = web_settings()["web"]
    server.daemon.config["hosts"]["example.org"].pop("landing_page", None)
    server.prosody.hosts["example.org"] = INVITE_HOST.replace("{ ", '{ "unreliable", "groups_internal", ')
    data = server.prosody.data_folder
    data.parent.mkdir(parents=True, exist_ok=True)
    with disk.small(data, "8m"), Relay(server.prosody.component_port) as relay:
        server.make_users()
        server.prosody.start()
        began = time.monotonic()
        server.daemon.config["component"]["server"] = relay.address
        server.daemon.start()
        torture = Torture(server, relay, postgres, seed)
        while torture.tally.kills < kills or time.monotonic() - began < seconds:
            await torture.round()
            if torture.tally.losses or torture.tally.doubles:
                break
        return torture.tally


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(prog="scripts/torture", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=10, help="how long, in all (default: 10)")
    parser.add_argument("--seed", default=os.urandom(8).hex(), help="to choose the same faults again")
    parser.add_argument("--failover", action="store_true", help="instead, two machines have their invites in a pair of "
                        "PostgreSQL servers, and the standby takes over again and again")
    arguments = parser.parse_args()
    try:
        seconds = arguments.minutes * 60
        whole = (xmpp.run(_failovers(seconds, arguments.seed)) if arguments.failover
                 else _every_setup(seconds, arguments.seed))
    except ProcessFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    print(f"In all: {whole} (seed {arguments.seed})")
    return 1 if whole.losses or whole.doubles else 0


def _every_setup(seconds: float, seed: str) -> Tally:
    """Every setup in turn."""
    setups, whole = [("0.12", False), ("13", False), ("0.12", True), ("13", True)], Tally()
    for version, on_postgres in setups:
        name = f"Prosody {version}, {'PostgreSQL' if on_postgres else 'SQLite'}"
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as database:
            postgres = Postgres(Path(database)) if on_postgres else None
            if postgres:
                postgres.start()
            store_url = postgres.create_database() if postgres else "sqlite:easy-invite.db"
            server = Server(version, Path(folder), store_url=store_url, settings=UNLIMITED)
            try:
                tally = asyncio.run(torture(server, postgres, seed, seconds=seconds / len(setups)))
            finally:
                server.kill()
                if postgres:
                    postgres.stop()
        _report(name, tally)
        whole += tally
    return whole


async def _failovers(seconds: float, seed: str) -> Tally:
    """Rounds of failovers of one pair, each with new servers and a new store. In one event loop: a
    database ends with the thread that started it."""
    began, whole = time.monotonic(), Tally()
    with tempfile.TemporaryDirectory() as database:
        pair = Pair(Path(database))
        pair.start()
        try:
            for number in itertools.count(1):
                if time.monotonic() - began >= seconds or whole.losses or whole.doubles:
                    return whole
                with tempfile.TemporaryDirectory() as folder:
                    url = pair.create_database()
                    servers = [Server(version, Path(folder) / version, store_url=url, settings=UNLIMITED)
                               for version in ("13", "0.12")]
                    try:
                        for server in servers:
                            server.start()
                        tally = await fail_over(servers, pair, f"{seed} {number}")
                    finally:
                        for server in servers:
                            server.kill()
                _report(f"Round {number}", tally)
                whole += tally
        finally:
            pair.kill()


def _report(name: str, tally: Tally) -> None:
    print(f"{name}: {tally}", *tally.losses, *tally.doubles, sep="\n  ", flush=True)


if __name__ == "__main__":
    sys.exit(main())
