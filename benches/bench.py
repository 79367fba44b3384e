"""`scripts/bench`: compares easy-invite with Prosody's own invites and with a component that stores
nothing.

All servers are real. The sides of a row are measured in turn, round after round. A ratio is the
median of the rounds' own ratios.
"""

import argparse
import itertools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.daemon import Daemon, binary_path
from harness.process import Process
from harness.prosody import VERSIONS

import report
from report import Row
from servers import (COMPONENT, HOST, NO_INVITES, OPEN_TO_ALL, OUR_INVITES, OWN_INVITES, RUN_SECONDS, Load, Pair,
                     Postgres, Side, copy_store, daemon, fill, free_port, measure, megabytes, prosody)

NOTHING = "a component that stores nothing"
TO_COMPONENT = "easy-invite"
TO_HOST = "easy-invite, through the host"
ON_POSTGRES = "easy-invite on PostgreSQL"
OWN_FILES = "Prosody's own, default storage"
OWN_SQLITE = "Prosody's own, SQLite"
SIZES = (0, 1_000, 100_000, 1_000_000, 10_000_000)
WARM_UP = 0.5


@dataclass
class InStore:
    """A number of daemons that work in one store, without a chat server."""

    name: str
    url: str
    daemons: int = 1
    inviters: int = 1000


class Bench:
    """The rows, their servers, and the results so far."""

    def __init__(self, options: argparse.Namespace, folder: Path, facts: dict, output: Path):
        self.options = options
        self.folder = folder
        self.facts, self.output = facts, output
        self.load = Load(Path(os.environ["EASY_INVITE_LOAD"]), folder)
        self.rows: list[Row] = []
        self._names = 0

    def turns(self, row: Row, sides: "list[Side] | list[InStore]", measure_one: Callable[..., dict]) -> None:
        """Measures the sides one after the other, round after round."""
        for number in range(self.options.rounds):
            for side in sides if number % 2 == 0 else sides[::-1]:
                row.add(side.name, measure_one(side))
        self.done(row)

    def loads(self, row: Row, sides: list[Side], what: str, prepare: Callable[[Side], None] = lambda side: None,
              **options: object) -> None:
        """Measures the sides under the same load."""
        def measure_one(side: Side) -> dict:
            prepare(side)
            usual = {"seconds": self.options.seconds, "name": self.new_name()}
            return measure(self.load, side, what, **usual | options)

        self.turns(row, sides, measure_one)

    def done(self, row: Row) -> None:
        """Keeps a row as soon as it is complete, even if a later one fails."""
        self.rows.append(row)
        print(f"\n{row.text()}", flush=True)
        report.write(self.rows, self.facts, self.output)

    def new_name(self) -> str:
        """A name that nothing and nobody else has."""
        self._names += 1
        return f"n{self._names}"

    def place(self, name: str) -> Path:
        """A new folder."""
        folder = self.folder / f"{self.new_name()}-{name}"
        folder.mkdir(parents=True)
        return folder

    def filled(self, waiting: int) -> Path:
        """The folder of a SQLite store with so many waiting invites.
        Filling it with millions takes a while."""
        folder = (self.options.stores or self.folder) / f"{waiting}-waiting"
        folder.mkdir(parents=True, exist_ok=True)
        store = folder / "easy-invite.db"
        if store.exists():
            # A store that was just filled is in the system's memory. A kept one is read into it.
            subprocess.run(["cat", store], stdout=subprocess.DEVNULL, check=True)
        return folder.resolve()

    def ours(self, stack: ExitStack, version: str, *, storage: str = "internal",
             store_url: str = "sqlite:easy-invite.db", name: str = TO_HOST, store: Path | None = None,
             waiting: int = 0) -> Side:
        """A Prosody with a daemon. Commands go to the host."""
        place = self.place("ours")
        server = stack.enter_context(prosody(version, place / "prosody", OUR_INVITES, storage=storage))
        program = daemon(store or place / "daemon", server.component_port, store_url)
        fill(program, waiting)
        stack.enter_context(program)
        return Side(name, server, program)

    def own(self, stack: ExitStack, version: str, storage: str, name: str, waiting: int = 0) -> Side:
        """A Prosody with its own invites."""
        place = self.place("own") / "prosody"
        server = prosody(version, place, OWN_INVITES, storage=storage, waiting=waiting)
        return Side(name, stack.enter_context(server))

    def with_tokens(self, side: Side, count: int) -> None:
        """Lets users of a side make this many invites, to be presented or redeemed."""
        side.tokens = self.folder / f"tokens-{time.monotonic_ns()}"
        self.load.run("new-invite", side.server.c2s_port, to=side.to, at_once=8, count=count, seconds=120, warm_up=0,
                      keep=side.tokens)

    def filled_tokens(self, side: Side, begin: int, count: int) -> None:
        """Uses the tokens of invites that mod_bench made."""
        side.tokens = self.folder / f"tokens-{time.monotonic_ns()}"
        side.tokens.write_text("\n".join(f"fill-{number:019}" for number in range(begin, begin + count)) + "\n")

    # The rows, by name. Some take a version of Prosody.

    def generator(self) -> None:
        """The load generator against a server that answers
        at once, to show that it is not the limit."""
        row = Row("generator", "The load generator alone, with a server that answers at once")
        for number in range(self.options.rounds):
            port = free_port()
            with self.load.beside("server", str(port)):
                for what, at_once in (("new-invite", 1), ("new-invite", 64), ("new-invite", 256), ("present", 8)):
                    tokens = self.folder / "any-token"
                    tokens.write_text("A" * 24 + "\n" + "B" * 24 + "\n")
                    extra = {"tokens": tokens} if what == "present" else {}
                    measured = self.load.run(what, port, at_once=at_once, seconds=1, **extra)
                    row.add(f"{what}, {at_once} at once", measured)
        self.done(row)

    def new_invite(self, version: str) -> None:
        """New Invite: by the component, through the host, and on both stores, compared with
        Prosody's own and with a component that stores nothing."""
        with ExitStack() as stack:
            empty = stack.enter_context(prosody(version, self.place("nothing") / "prosody", NO_INVITES))
            stack.enter_context(self.load.nothing(empty))
            ours = self.ours(stack, version)
            database = stack.enter_context(Postgres(self.place("postgres")))
            on_postgres = self.ours(stack, version, store_url=database.create_database())
            sides = [
                Side(NOTHING, empty, to=COMPONENT),
                Side(TO_COMPONENT, ours.server, ours.program, to=COMPONENT),
                ours,
                Side(ON_POSTGRES, on_postgres.server, on_postgres.program, to=COMPONENT),
                self.own(stack, version, "sql", OWN_SQLITE),
            ]
            for at_once in (1, 8, 64, 256):
                row = Row(f"new-invite/{version}/{at_once}", f"New Invite, {at_once} at once, Prosody {version}")
                if at_once == 64:
                    row.goals = {TO_COMPONENT: (NOTHING, "at least", 0.9), TO_HOST: (NOTHING, "at least", 0.5)}
                if at_once == 8:
                    row.goals = {TO_COMPONENT: (OWN_SQLITE, "at least", 5)}
                self.loads(row, sides, "new-invite", at_once=at_once)

    def ten_thousand(self, version: str) -> None:
        """New Invite with 10,000 waiting, compared with Prosody's own on both of its storages."""
        with ExitStack() as stack:
            ours = self.ours(stack, version, waiting=10_000)
            sides = [
                self.own(stack, version, "internal", OWN_FILES, waiting=10_000),
                self.own(stack, version, "sql", OWN_SQLITE, waiting=10_000),
                ours,
                Side(TO_COMPONENT, ours.server, ours.program, to=COMPONENT),
            ]
            row = Row(f"ten-thousand/{version}", f"New Invite, 8 at once, 10,000 waiting, Prosody {version}")
            row.goals = {TO_COMPONENT: (OWN_FILES, "at least", 500)}
            self.loads(row, sides, "new-invite", at_once=8)

    def present(self, version: str) -> None:
        """Presenting a token, on new and on open connections, and unknown tokens."""
        with ExitStack() as stack:
            sides = [self.own(stack, version, "sql", OWN_SQLITE), self.ours(stack, version, name=TO_COMPONENT)]
            for side in sides:
                self.with_tokens(side, 1000)
            files = self.own(stack, version, "internal", OWN_FILES, waiting=1000)
            self.filled_tokens(files, 0, 1000)
            row = Row(f"present/{version}",
                      f"A token presented on a new connection, 8 at once, 1,000 waiting, Prosody {version}")
            row.goals = {TO_COMPONENT: (OWN_SQLITE, "at least", 0.95)}
            self.loads(row, [*sides, files], "present", at_once=8)
            for at_once in (1, 8):
                row = Row(f"present-again/{version}/{at_once}",
                          f"A token presented on an open connection, {at_once} at once, Prosody {version}")
                self.loads(row, sides, "present-again", at_once=at_once)
            row = Row(f"guess/{version}", f"An unknown token, on a new connection, 8 at once, Prosody {version}")
            self.loads(row, sides, "guess", at_once=8, seconds=min(self.options.seconds, 2))

    def redeem(self, version: str) -> None:
        """Connect, present, register, with the same account storage on both sides."""
        kinds = (("internal", OWN_FILES, 0), ("sql", OWN_SQLITE, 0), ("internal", OWN_FILES, 10_000))
        for storage, own_name, waiting in kinds:
            with ExitStack() as stack:
                ours = self.ours(stack, version, storage=storage, waiting=waiting, name=TO_COMPONENT)
                own = self.own(stack, version, storage, own_name, waiting=waiting)
                own_count = 60 if waiting else 250
                used = itertools.count(step=own_count)

                def prepare(side: Side) -> None:
                    if side is own and waiting:
                        self.filled_tokens(side, next(used), own_count)
                    else:
                        self.with_tokens(side, 1000 if side is ours else own_count)

                row = Row(f"redeem/{version}/{storage}/{waiting}",
                          f"Redeem (connect, present, register), 4 at once, {waiting:,} waiting, accounts in "
                          f"{'files' if storage == 'internal' else 'SQLite'}, Prosody {version}")
                row.goals = {TO_COMPONENT: (own_name, "at least", 30 if waiting else 1.0)}
                self.loads(row, [own, ours], "redeem", prepare, at_once=4, warm_up=0)

    def bystander(self, version: str) -> None:
        """How fast Prosody answers an uninvolved user, while nobody redeems and while 256 do."""
        with ExitStack() as stack:
            without = Side("without any module", stack.enter_context(
                prosody(version, self.place("without") / "prosody", OPEN_TO_ALL)))
            ours = self.ours(stack, version, name=TO_COMPONENT)
            own = self.own(stack, version, "internal", OWN_FILES)
            row = Row(f"bystander/{version}/idle",
                      f"Pings of an uninvolved user, one after the other, nobody redeems, Prosody {version}")
            row.goals = {TO_COMPONENT: (without.name, "at least", 1 / 1.1)}
            self.loads(row, [without, ours], "ping")

            def among_a_crowd(side: Side) -> dict:
                if side is not without:
                    self.with_tokens(side, 500 if side is own else 1500)
                name = self.new_name()
                command = self.load.command("register" if side is without else "redeem", side.server.c2s_port,
                                            tokens=side.tokens, at_once=256, warm_up=0,
                                            seconds=RUN_SECONDS, name=name)
                crowd = Process("a crowd", command, self.folder / f"crowd-{name}.log")
                measured = measure(self.load, side, "ping", seconds=self.options.seconds, warm_up=WARM_UP)
                if crowd.exit_code is not None:
                    raise RuntimeError(crowd.log)
                crowd.kill()
                return measured

            row = Row(f"bystander/{version}/256", "Pings of an uninvolved user, one after the other, while 256 redeem "
                      f"(without any module: register), Prosody {version}")
            row.goals = {TO_COMPONENT: (without.name, "at least", 1 / 1.1)}
            self.turns(row, [own, ours, without], among_a_crowd)

    def waiting(self) -> None:
        """New Invite, tokens, redeeming and the command
        line, with more and more invites waiting."""
        sizes = [size for size in SIZES if size <= self.options.largest]
        version = VERSIONS[-1]
        for engine in ("SQLite", "PostgreSQL"):
            with ExitStack() as stack:
                database = stack.enter_context(Postgres(self.place("postgres"))) if engine == "PostgreSQL" else None
                sides = []
                # Sides that are compared have their turns one after the other.
                for size in [sizes[0], sizes[-1], *(sizes[1:-1] if database is None else [])]:
                    name = f"easy-invite on {engine}, {size:,} waiting"
                    if database is None:
                        side = self.ours(stack, version, store=self.filled(size), waiting=size, name=name)
                    else:
                        url = database.create_database()
                        if size:
                            copy_store(f"sqlite:{self.filled(size) / 'easy-invite.db'}", url)
                        side = self.ours(stack, version, store_url=url, name=name)
                    side.to = COMPONENT
                    sides.append(side)
                goals = {side.name: (sides[0].name, "at least", 0.95) for side in sides[1:]}
                row = Row(f"waiting/{engine}/new-invite", f"New Invite, 8 at once, on {engine}, Prosody {version}",
                          goals=goals)
                self.loads(row, sides, "new-invite", at_once=8)
                row = Row(f"many/{engine}/new-invite", f"New Invite, 64 at once, on {engine}, Prosody {version}",
                          goals=goals)
                self.loads(row, sides, "new-invite", at_once=64)
                row = Row(f"many/{engine}/my-invites", "My Invites, the list of what a user has made, one after the "
                          f"other, on {engine}, Prosody {version}", goals=goals)
                self.loads(row, sides, "list")
                row = Row(f"many/{engine}/present",
                          f"A token presented on a new connection, 8 at once, on {engine}, Prosody {version}",
                          goals=goals)
                self.loads(row, sides, "present", lambda side: self.with_tokens(side, 1000), at_once=8)
                row = Row(f"many/{engine}/redeem", f"Redeem, 4 at once, on {engine}, Prosody {version}", goals=goals)
                self.loads(row, sides, "redeem", lambda side: self.with_tokens(side, 1000), at_once=4, warm_up=0)
                for words in (("list", HOST, "--limit", "50"), ("revoke", "-")):
                    row = Row(f"many/{engine}/{words[0]}", f"easy-invite {' '.join(words)}, on {engine}", goals=goals)
                    self.turns(row, sides, lambda side: self.command(side, *words))
        with ExitStack() as stack:
            for storage, name, most in (("internal", OWN_FILES, 10_000), ("sql", OWN_SQLITE, 100_000)):
                sides = [self.own(stack, version, storage, f"{name}, {size:,} waiting", waiting=size)
                         for size in (0, 1_000, 10_000, 100_000) if size <= most]
                row = Row(f"waiting/own/{storage}", f"New Invite, 8 at once, {name}, Prosody {version}")
                self.loads(row, sides, "new-invite", at_once=8)

    def command(self, side: Side, *words: str) -> dict:
        """Runs the command line thirty times, or for as long as a measurement takes."""
        if words[0] == "revoke":
            self.with_tokens(side, 100)
        tokens = side.tokens.read_text().split() if words[0] == "revoke" else [""] * 100
        since, times = time.monotonic(), []
        while len(times) < 30 and (not times or time.monotonic() - since < self.options.seconds):
            begun = time.monotonic()
            done = side.program.cli(*words, input=tokens[len(times)] + "\n")
            times.append(time.monotonic() - begun)
            if done.returncode != 0:
                raise RuntimeError(done.stderr)
        median = statistics.median(times)
        return {"count": len(times), "per_second": 1 / median, "median_ms": median * 1e3}

    def stores(self) -> None:
        """What daemons do in their store: on both engines, with a synchronous standby
        and without one, and several daemons on one database."""
        with ExitStack() as stack:
            database = stack.enter_context(Postgres(self.place("postgres"))).create_database()
            pair = Pair(self.place("pair"))
            stack.callback(pair.kill)
            pair.start()
            sqlite = f"sqlite:{self.place('sqlite') / 'easy-invite.db'}"
            engines = [InStore("SQLite", sqlite), InStore("PostgreSQL", database),
                       InStore("PostgreSQL with a synchronous standby", pair.create_database())]
            daemons = [InStore(f"{count} on one PostgreSQL", database, count) for count in (1, 2, 4)]
            of_one = [InStore(side.name, database, side.daemons, inviters=1) for side in daemons]
            for key, what, title, sides in (
                ("engines/new-invite", "new-invite", "New Invite in the store of one daemon", engines),
                ("engines/register", "register", "A registration in the store of one daemon", engines),
                ("daemons/new-invite", "new-invite", "New Invite by several daemons, many inviters", daemons),
                ("daemons/one-inviter", "new-invite", "New Invite by several daemons, one inviter", of_one),
                ("daemons/register", "register", "A registration by several daemons", daemons),
            ):
                self.turns(Row(f"stores/{key}", f"{title}, 16 at once in each"), sides,
                           lambda side: self.load.in_store(what, side.url, daemons=side.daemons, name=self.new_name(),
                                                           inviters=side.inviters, seconds=self.options.seconds))

    def moving(self) -> None:
        """Importing Prosody's own invites, from files and from SQL, and once more with nothing new."""
        count, version = min(100_000, self.options.largest), VERSIONS[-1]
        took = Row("import", f"easy-invite import prosody, {count:,} invites (lower is better)", figure="seconds")
        held = Row("import/memory", "The most memory that it held (lower is better)", figure="MiB")
        for storage, name in (("internal", "from files"), ("sql", "from SQLite")):
            with prosody(version, self.place("old") / "prosody", OWN_INVITES, storage=storage, waiting=count) as old:
                source = ("--data", old.data_folder) if storage == "internal" else (
                    "--sql", f"sqlite:{old.data_folder / 'prosody.sqlite'}")
            for _ in range(self.options.rounds):
                program = daemon(self.place("import"), free_port(), "sqlite:easy-invite.db")
                program.write_config()
                for side in (name, f"{name}, again"):
                    since = time.monotonic()
                    command = [binary_path(), "--config", program.config_file, "import", "prosody", *source]
                    importing = subprocess.Popen(command, cwd=program.folder, stdin=subprocess.DEVNULL)
                    _, status, used = os.wait4(importing.pid, 0)
                    took.add(side, {"seconds": time.monotonic() - since})
                    held.add(side, {"MiB": used.ru_maxrss / 2**10})
                    if status != 0:
                        raise RuntimeError(f"{command} failed")
        for row in (took, held):
            self.done(row)

    def footprint(self) -> None:
        """Memory, the start after a crash, and the size of the binary."""
        memory = Row("memory", "Memory of the daemon (lower is better)", figure="MiB")
        start = Row("start", "From the start of the process to its first answer, after kill -9 (lower is better)",
                    figure="seconds")
        size = Row("size", "The release binary, stripped (lower is better)", figure="MiB")
        size.add("easy-invite", {"MiB": binary_path().stat().st_size / 2**20})
        for waiting in (0, self.options.largest):
            port, name = free_port(), f"{waiting:,} waiting"
            program = daemon(self.filled(waiting), port, "sqlite:easy-invite.db")
            fill(program, waiting)
            with self.load.beside("stream", str(port), "1", "1"), program:
                time.sleep(2)
                memory.add(f"idle, {name}", {"MiB": megabytes(program.pid)})
            count = 100_000 if waiting else min(1_000_000, self.options.largest)
            memory.add(f"after {count:,} more, {name}", self.stream(program, port, count)[1])
            for number in range(self.options.rounds + 1):
                with self.load.beside("stream", str(port), "1", "1") as server:
                    program.log_file.unlink()  # the harness would read it first: a line for each of a million invites
                    since = time.monotonic()
                    program.start(wait=False)
                    server.wait_until(lambda: "per_second" in server.log, 60, "answer")
                    if number > 0:  # the previous run was killed
                        start.add(name, {"seconds": time.monotonic() - since})
                    program.kill()
        for row in (memory, start, size):
            self.done(row)

    def scripted(self) -> None:
        """The daemon on a scripted stream: its speed without a server."""
        row = Row("stream", "The daemon on a scripted stream, 128 at once")
        row.goals = {"New Invite, durable": ("a form, which stores nothing", "at least", 0.5)}
        port = free_port()
        program = daemon(self.place("scripted"), port, "sqlite:easy-invite.db", users_are_admins=True)
        for _ in range(self.options.rounds):
            for name, node in (("a form, which stores nothing", "urn:xmpp:invite#create-account"),
                               ("New Invite, durable", "urn:xmpp:invite#invite")):
                row.add(name, self.stream(program, port, min(100_000, self.options.largest), node)[0])
        self.done(row)

    def stream(self, program: Daemon, port: int, count: int, *node: str) -> tuple[dict, dict]:
        """Starts the daemon and lets it answer so many commands.
        Returns its speed, and its memory afterwards."""
        with self.load.beside("stream", str(port), "128", str(count), *node) as server, program:
            server.wait_until(lambda: "per_second" in server.log, 600, "end")
            measured = json.loads(server.log.splitlines()[-1])
            time.sleep(1)
            return measured, {"MiB": megabytes(program.pid)}


PER_VERSION = ("new_invite", "ten_thousand", "present", "redeem", "bystander")
ONCE = ("generator", "scripted", "stores", "waiting", "moving", "footprint")


def machine() -> dict:
    """The machine of the measurement."""
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1)) // 2**20
    version = subprocess.run([binary_path(), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return {"processors": f"{os.cpu_count()} x {model}", "memory": f"{memory} GiB", "kernel": platform.release(),
            "version": version, "load when it began": f"{os.getloadavg()[0]:.2f}"}


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the disk. On some systems, /tmp is in memory."""
    with tempfile.TemporaryDirectory(prefix="easy-invite-bench.", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user
        yield Path(folder)


def at_least(least: float, number: type) -> Callable[[str], float]:
    """Reads a number as an argument, with a minimum."""
    def read(text: str) -> float:
        try:
            value = number(text)
        except ValueError:
            value = None
        if value is None or not least <= value < float("inf"):
            kind = "a whole number" if number is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {kind}, {least:,} or more, found {text!r}")
        return value
    return read


def folder_of(text: str) -> Path:
    """Reads a folder as an argument. It need not exist."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder")
    return path


def main() -> None:
    """Reads the arguments and measures the rows."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[*ONCE, *PER_VERSION, []], help="only these rows (default: all)")
    parser.add_argument("--rounds", type=at_least(1, int), default=5, help="the turns of each side (default: 5)")
    parser.add_argument("--seconds", type=at_least(0.1, float), default=3, help="the length of a turn (default: 3)")
    parser.add_argument("--largest", type=at_least(1000, int), default=SIZES[-1],
                        help="the largest number of waiting invites (default: 10,000,000)")
    parser.add_argument("--prosody", choices=VERSIONS, help="only this version (default: both)")
    parser.add_argument("--output", type=folder_of, default=Path("target/bench"),
                        help="the folder for bench.txt, bench.json and bench.svg (default: target/bench)")
    parser.add_argument("--stores", type=folder_of, help="a folder to keep filled stores in, for later runs")
    parser.add_argument("--only-check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_check:
        return
    output = Path(os.environ["EASY_INVITE_REPOSITORY"]) / options.output
    output.mkdir(parents=True, exist_ok=True)
    facts = machine()
    print("\n".join(f"{name}: {value}" for name, value in facts.items()), flush=True)
    with scratch() as folder:
        bench = Bench(options, folder, facts, output)
        for name in ONCE + PER_VERSION:
            if options.what and name not in options.what:
                continue
            for version in VERSIONS if name in PER_VERSION else (None,):
                if version is None:
                    getattr(bench, name)()
                elif options.prosody in (None, version):
                    getattr(bench, name)(version)
    if any(row.key.startswith("waiting/") for row in bench.rows):
        report.chart(bench.rows, output / "bench.svg")
    files = ["bench.txt", "bench.json", *(["bench.svg"] if (output / "bench.svg").exists() else [])]
    print(f"\nThe results are in {output}: {', '.join(files)}")


if __name__ == "__main__":
    main()
