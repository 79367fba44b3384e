"""A host moves from ejabberd: its invites are imported from each of the texts and databases in
which a real ejabberd 26 has them. Links that were sent before do here what they did there, in every
client and at their old addresses. Invites that were used or withdrawn, or that belong to another
host, do not work here either."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from harness import clients, xmpp
from harness.ejabberd import Ejabberd, schema
from harness.postgres import Postgres
from harness.server import Server, password_of
from harness.stories import (CREATE_ACCOUNT, Invite, fill_in, has_account, in_store, new_invite, register, show, used)
from harness.web import Visitor, web_settings
from harness.xmpp import Client, StanzaError

pytestmark = pytest.mark.seconds(120)

# Prosody's version, the daemon's store, and where ejabberd keeps its data: Mnesia, the database of
# one host, or the database of all hosts.
MOVES = {"0.12-mnesia": ("0.12", "sqlite", "mnesia"), "13-sqlite": ("13", "sqlite", "sqlite"),
         "13-postgresql": ("13", "postgres", "postgresql")}
# Its clock is far from UTC.
ELSEWHERE = {"TZ": "Pacific/Auckland"}
UNLIMITED = {"limits": {limit: "unlimited" for limit in ("wrong_tokens", "pages", "forms")}}
TABLES = ("invite", "invite_use", "account", "event", "past_token", "notice")
KINDS = ("a link to a contact", "a link to the server", "a link for one username")
NOTHING_NEW = {"imported": 0, "pending": 0, "ended": 0, "accounts": 0, "ended_since": 0}


@dataclass
class Move:
    """A host that has moved, and what was sent before."""

    server: Server
    ejabberd: Ejabberd
    database: str | None = None
    """The URL of ejabberd's database."""
    links: dict[str, Invite] = field(default_factory=dict)
    of_clients: dict[tuple[type, str], Invite] = field(default_factory=dict)
    landing_page: str = ""
    figures: dict[str, dict] = field(default_factory=dict)
    """What each import printed, by its source."""
    changed: list[str] = field(default_factory=list)
    """The rows that were changed by an import with nothing new."""

    async def login(self, username: str) -> Client:
        """A user's stream to ejabberd."""
        client = await self.ejabberd.connect()
        return await client.login(username, password_of(username), resource=None, presence=True)

    async def redeem(self, username: str, invite: Invite) -> None:
        """Registers at ejabberd, or sets a new password there."""
        async with await self.ejabberd.connect() as stream:
            await stream.preauth(invite.token)
            await stream.registration_set(username, password_of(username))

    def operator(self, command: str, username: str | None = None, host: str = "example.org") -> Invite:
        """The operator makes an invite at ejabberd."""
        named = {} if username is None else {"username": username}
        made = json.loads(self.ejabberd.api(command, host=host, **named))
        self.landing_page = made["landing_page"]
        return Invite(made["invite_uri"])

    def tables(self) -> dict[str, list]:
        """All rows of the store, to compare, without what the daemon has still to tell of events."""
        rows = {table: in_store(self.server, f"SELECT * FROM {table}") for table in TABLES}
        return {table: sorted(str(row[:-1] if table == "event" else row) for row in of) for table, of in rows.items()}

    def take(self, source: str, *arguments: str, stdin: str = "") -> None:
        """Imports, and keeps the figures."""
        done = self.server.daemon.cli("--json", "import", "ejabberd", *arguments, input=stdin)
        assert done.returncode == 0, done.stderr
        for token in (invite.token for invite in (*self.links.values(), *self.of_clients.values())):
            assert token not in done.stdout + done.stderr
        self.figures[source] = json.loads(done.stdout) | {"said": done.stderr}

    def import_all(self, prefix: str = "", *options: str) -> None:
        """Imports from each source there is. The first one tells most."""
        listed = "".join(self.ejabberd.ctl("list_invites", host) for host in self.ejabberd.hosts)
        self.take(f"{prefix}list_invites", "-", *options, stdin=listed)
        rows = self.tables()
        folder = self.ejabberd.folder
        (folder / "http.json").write_text(self.ejabberd.api("list_invites", host="example.org"))
        self.take(f"{prefix}http", str(folder / "http.json"), *options)
        if self.database:
            self.take(f"{prefix}database", "--sql", self.database, "example.org", *options)
        else:
            self.ejabberd.ctl("dump_table", str(folder / "table.txt"), "invite_token")
            self.take(f"{prefix}table", str(folder / "table.txt"), *options)
            self.ejabberd.ctl("dump", str(folder / "all.txt"))
            self.take(f"{prefix}dump", str(folder / "all.txt"), "example.org", *options)
        self.changed += [row for table, now in self.tables().items() for row in {*now} ^ {*rows[table]}]

    async def make(self) -> None:
        """Makes the move."""
        for username in ("alice", "bob", "admin"):
            self.ejabberd.adduser(f"{username}@example.org", password_of(username))
        alice, bob, admin = await self.login("alice"), await self.login("bob"), await self.login("admin")
        self.links = {
            "operator": self.operator("generate_invite"),
            "name": self.operator("generate_invite_with_username", "Carol"),
            "reset": self.operator("generate_reset_token", "Bob"),
            "elsewhere": self.operator("generate_invite", host=self.ejabberd.hosts[-1]),
            "withdrawn": self.operator("generate_invite"),
            "between": self.operator("generate_invite"),
            "admin": await fill_in(admin, CREATE_ACCOUNT, {}),
            "friend": await fill_in(alice, CREATE_ACCOUNT, {"username": "Dave", "roster-subscription": "true"}),
            "contact": await new_invite(alice),
            "used": self.operator("generate_invite"),
            "friend's friend": await fill_in(alice, CREATE_ACCOUNT, {"roster-subscription": "true"}),
            "joined": await new_invite(alice),
            "contacted": await new_invite(alice),
            "used reset": self.operator("generate_reset_token", "admin"),
        }
        for kind in clients.ALL_THAT_REDEEM:
            username = {"username": f"{kind.__name__}-own".lower()}
            links = (await new_invite(alice), await fill_in(admin, CREATE_ACCOUNT, {}),
                     await fill_in(admin, CREATE_ACCOUNT, username))
            self.of_clients |= {(kind, of): invite for of, invite in zip(KINDS, links, strict=True)}
        await self.redeem("erin", self.links["used"])
        await self.redeem("Frank", self.links["friend's friend"])
        await self.redeem("Gus", self.links["joined"])
        await self.redeem("admin", self.links["used reset"])
        bob.subscribe("alice@example.org", self.links["contacted"].token)
        await alice.roster_push("bob@example.org", "from")
        self.ejabberd.api("expire_invite_by_token", host="example.org", token=self.links["withdrawn"].token)
        self.import_all("dry ", "--dry-run")
        self.import_all()
        await self.redeem("Heidi", self.links["between"])
        self.import_all("later ")
        await xmpp.close_all()


def with_database(kind: str, folder: Path, postgres: Postgres | None) -> tuple[Ejabberd, str | None]:
    """An ejabberd, and the URL of its database."""
    folder = folder / "ejabberd"
    if kind == "sqlite":
        database = {"sql_type": "sqlite", "sql_database": str(folder / "ejabberd.sqlite")}
        return (Ejabberd(folder, hosts=["example.org"], database=database, environment=ELSEWHERE),
                f"sqlite:{folder}/ejabberd.sqlite")
    if kind == "mnesia":
        return Ejabberd(folder, environment=ELSEWHERE), None
    url = postgres.create_database()
    with psycopg.connect(url) as connection:
        connection.execute(schema("pg.new.sql"))
    parts = urlsplit(url)
    database = {"sql_type": "pgsql", "sql_server": parts.hostname, "sql_port": parts.port, "sql_schema_multihost": True,
                "sql_database": parts.path.strip("/"), "sql_username": parts.username}
    return Ejabberd(folder, database=database, environment=ELSEWHERE), url


@pytest.fixture(scope="module", params=MOVES.values(), ids=MOVES)
def moved(request, tmp_path_factory):
    version, store, kind = request.param
    folder = tmp_path_factory.mktemp("moving")
    postgres = request.getfixturevalue("postgres") if store == "postgres" else None
    ejabberd, database = with_database(kind, folder, postgres)
    settings = {**web_settings(also=["/invites"]), **UNLIMITED}
    store_url = postgres.create_database() if postgres else "sqlite:easy-invite.db"
    with Server(version, folder, settings=settings, store_url=store_url) as server, ejabberd:
        move = Move(server, ejabberd, database)
        xmpp.run(move.make())
        yield move


@pytest.fixture
def server(moved):
    """The server that has moved."""
    return moved.server


def invites_there(moved: Move) -> int:
    """How many invites ejabberd has of the host that moves."""
    return len(moved.links) + len(moved.of_clients) - (len(moved.ejabberd.hosts) > 1)


def test_an_import_tells_what_it_found(moved):
    first = moved.figures["list_invites"]
    found = invites_there(moved)
    assert (first["imported"], first["ended"], first["accounts"]) == (found, 6, 3)
    if len(moved.ejabberd.hosts) > 1:
        assert (first["skipped"], first["other_hosts"]) == ({"other-host": 1}, ["other.example"])
    later = moved.figures["later list_invites"]
    assert NOTHING_NEW | {"ended_since": 1, "accounts": 1, "already": found - 1} == {
        name: later[name] for name in (*NOTHING_NEW, "already")}


def test_each_source_has_the_same_invites(moved):
    sources = 3 if moved.database else 4
    assert len(moved.figures) == 3 * sources
    for name, figures in moved.figures.items():
        if name.startswith("dry "):
            assert (figures["imported"], figures["ended"], figures["accounts"]) == (invites_there(moved), 6, 3), name
        elif not name.endswith("list_invites"):
            assert NOTHING_NEW | {"already": invites_there(moved)} == {
                name: figures[name] for name in (*NOTHING_NEW, "already")}, name
    assert moved.changed == []


def test_a_source_without_links_says_what_it_cannot_tell(moved):
    for name, figures in moved.figures.items():
        # Those of the clients, and one more.
        told = "7 of the pending links to contacts may register an account in ejabberd" in figures["said"]
        assert told == ("list_invites" not in name and "http" not in name), figures["said"]


@pytest.mark.parametrize("name, expected", {
    "operator": {"type": "account", "state": "pending"},
    "name": {"type": "account", "username": "carol"},
    "reset": {"type": "password-reset", "username": "bob", "state": "pending"},
    "withdrawn": {"type": "account", "state": "revoked"},
    "between": {"type": "account", "state": "redeemed", "uses": 1},
    "admin": {"type": "account", "inviter": "admin@example.org"},
    "friend": {"type": "account-and-contact", "username": "dave", "inviter": "alice@example.org"},
    "contact": {"type": "account-and-contact", "inviter": "alice@example.org", "username": None, "max_uses": 1},
    "used": {"type": "account", "state": "redeemed"},
    "friend's friend": {"type": "account-and-contact", "state": "redeemed"},
    "joined": {"type": "account-and-contact", "state": "redeemed"},
    "contacted": {"type": "account-and-contact", "state": "redeemed"},
    "used reset": {"type": "password-reset", "state": "redeemed"},
}.items())
def test_each_invite_is_what_it_was(moved, server, name, expected):
    shown = show(server, moved.links[name])
    assert {key: shown[key] for key in expected} == expected


def test_who_invited_whom_is_known(server):
    tree = server.daemon.cli("--json", "tree").stdout.splitlines()
    inviters = {branch["account"]: branch["inviter"] for branch in map(json.loads, tree)}
    assert {name: inviters.get(f"{name}@example.org") for name in ("erin", "frank", "gus", "heidi")} == {
        "erin": None, "frank": "alice@example.org", "gus": "alice@example.org", "heidi": None}
    # Who became a contact had an account already.
    assert inviters.get("bob@example.org") is None


@pytest.mark.parametrize("of", KINDS)
@pytest.mark.parametrize("kind", clients.ALL_THAT_REDEEM)
async def test_every_client_joins(moved, server, kind, of):
    invite = moved.of_clients[kind, of]
    username = f"{kind.__name__}-{'own' if of == KINDS[2] else of.rpartition(' ')[2]}".lower()
    client = kind(server)
    await client.join(invite.uri, username, password_of(username))
    if of == KINDS[0]:
        assert (await client.stream.roster())["alice@example.org"].subscription == "both"
    await used(server, invite)
    with pytest.raises(StanzaError, match="cancel/item-not-found: This invitation has already been used"):
        await register(server, f"{username}-2", invite)


async def test_a_friends_link_makes_a_contact_of_one_name(moved, server):
    with pytest.raises(StanzaError, match="The chosen username is not valid with this invitation"):
        await register(server, "somebody", moved.links["friend"])
    await register(server, "dave", moved.links["friend"])
    dave = await server.login("dave")
    assert (await dave.roster())["alice@example.org"].subscription == "both"


async def test_a_reserved_name_is_reserved_here(moved, server):
    with pytest.raises(StanzaError):
        await register(server, "carol", moved.links["operator"])
    await register(server, "carol", moved.links["name"])


async def test_a_users_link_makes_two_contacts(moved, server):
    admin = await server.login("admin")
    admin.subscribe("alice@example.org", moved.links["contact"].token)
    await admin.roster_push("alice@example.org", "both")
    await used(server, moved.links["contact"])


async def test_a_reset_link_sets_a_new_password(moved, server):
    await register(server, "bob", moved.links["reset"], password="a new password of bob's")
    assert await has_account(server, "bob", password="a new password of bob's")


@pytest.mark.parametrize("name", ["withdrawn", "between", "used", "friend's friend", "joined", "contacted",
                                  "used reset"])
async def test_what_has_ended_there_is_refused_here(moved, server, name):
    with pytest.raises(StanzaError, match="cancel/item-not-found"):
        await register(server, "mallory", moved.links[name])


async def test_an_old_address_leads_to_the_page(moved, server):
    invite = moved.links["operator"]
    path = urlsplit(moved.landing_page).path.rpartition("/")[0]
    assert path == "/invites"
    page = await Visitor(server).get(f"{path}/{invite.token}")
    assert page.status == 200
    assert invite.token in page.header("Link")
    assert (await Visitor(server).get(f"{path}/{moved.links['used'].token}")).status in (404, 410)
