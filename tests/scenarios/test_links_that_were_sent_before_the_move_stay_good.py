"""A server moves from Prosody's own invites: import, other modules, import again. Each link that
people were sent before, and that was good, does what it did, in every client and in browsers. What
was used, withdrawn or too old is refused."""

from dataclasses import dataclass, field

import pytest

from harness import clients, xmpp
from harness.moving import (OTHER_HOST, Sent, call, import_links, in_a_client, old_server, send_links, shell, switch,
                            withdraw)
from harness.server import Server, password_of
from harness.stories import CREATE_ACCOUNT, Invite, has_account, in_store, new_invite, register, show, used
from harness.web import Visitor, text, web_settings
from harness.xmpp import StanzaError

pytestmark = pytest.mark.seconds(120)

# Prosody's version and storage, and the daemon's store.
MOVES = {"0.12-files": ("0.12", "internal", "sqlite"), "13-files": ("13", "internal", "sqlite"),
         "0.12-sqlite": ("0.12", "sql", "sqlite"), "13-postgresql": ("13", "postgres", "postgres")}
KINDS = ("a link to a contact", "a link to the server", "a link for one username")
UNLIMITED = {"limits": {limit: "unlimited" for limit in ("wrong_tokens", "pages", "forms")}}
TABLES = ("invite", "invite_use", "account", "event", "past_token", "notice")


@dataclass
class Move:
    """A server that has moved, and what was sent before."""

    server: Server
    sent: dict[str, Sent] = field(default_factory=dict)
    of_clients: dict[tuple[type, str], Invite] = field(default_factory=dict)
    between: dict[str, Invite] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    """What each import printed."""
    changed_there: list[object] = field(default_factory=list)
    """What the first two imports changed in Prosody's data."""
    changed_here: list[str] = field(default_factory=list)
    """The tables that the second import changed, with nothing new to import."""

    def there(self) -> dict:
        """All that is in Prosody's folder, to compare."""
        found = {path: path.lstat() for path in self.server.prosody.data_folder.rglob("*")}
        return {path: (of.st_mode, of.st_uid, of.st_gid, of.st_mtime_ns, path.is_file() and path.read_bytes())
                for path, of in found.items()}

    def here(self) -> dict[str, list]:
        """All rows of the store, to compare."""
        return {table: sorted(map(str, in_store(self.server, f"SELECT * FROM {table}"))) for table in TABLES}

    async def make(self) -> None:
        """Makes the move."""
        server = self.server
        server.start()
        self.sent = await send_links(server)
        alice = await server.login("alice")
        for kind in clients.ALL_THAT_REDEEM:
            username = f"{kind.__name__}-own".lower()
            pinned = shell(server, "create_account", f"{username}@example.org")
            links = ((await new_invite(alice)).uri, call(server, "create_account"),
                     f"xmpp:{username}@example.org?register;preauth={pinned}")
            self.of_clients |= {(kind, of): Invite(uri) for of, uri in zip(KINDS, links, strict=True)}
        for name in ("used", "used by a contact", "withdrawn", "not used"):
            self.between[name] = await new_invite(alice)
        await xmpp.close_all()

        there = self.there()
        self.said.append(import_links(server))
        here = self.here()
        self.said.append(import_links(server))
        self.changed_here = [table for table, rows in self.here().items() if rows != here[table]]
        self.changed_there = [path for path, of in self.there().items() if of != there.get(path)]

        alice, admin = await server.login("alice"), await server.login("admin")
        await in_a_client(server, self.between["used"], "between")
        admin.subscribe("alice@example.org", self.between["used by a contact"].token)
        await alice.roster_push("admin@example.org", "from")
        withdraw(server, self.between["withdrawn"])
        self.between["made"] = await new_invite(alice)
        await in_a_client(server, self.sent["group"], "member-3")
        await xmpp.close_all()
        self.said.append(switch(server))


@pytest.fixture(scope="module", params=MOVES.values(), ids=MOVES)
def moved(request, tmp_path_factory):
    version, storage, store = request.param
    database = request.getfixturevalue("postgres").create_database if "postgres" in (storage, store) else None
    web = web_settings(also=["/invites_page"])
    settings = {**web, **UNLIMITED, "hosts": {**web["hosts"], OTHER_HOST: None}}
    server = old_server(version, tmp_path_factory.mktemp("moving"), settings=settings,
                        storage=database() if storage == "postgres" else storage,
                        store_url=database() if store == "postgres" else "sqlite:easy-invite.db")
    move = Move(server)
    try:
        xmpp.run(move.make())
        yield move
    finally:
        server.kill()


@pytest.fixture
def server(moved):
    """The server that has moved."""
    return moved.server


async def test_an_import_changes_nothing_at_prosody(moved):
    assert moved.changed_there == []


async def test_an_import_with_nothing_new_changes_no_row(moved):
    assert moved.changed_here == []


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


async def test_a_contact_link_makes_two_contacts(moved, server):
    admin = await server.login("admin")
    for name, inviter in (("contact", "bob@example.org"), ("withdrawn for new accounts", "alice@example.org")):
        invite = moved.sent[name]
        with pytest.raises(StanzaError):
            await register(server, "mallory", invite)
        admin.subscribe(inviter, invite.token)
        await admin.roster_push(inviter, "both")
        await used(server, invite)
        assert not await has_account(server, "mallory")


async def test_a_friends_link_may_be_used_by_a_contact(moved, server):
    admin = await server.login("admin")
    invite = moved.sent["friend of a foreign name"]
    inviter = invite.shown["inviter"]
    admin.subscribe(inviter, invite.token)
    await admin.roster_push(inviter, "both")
    await used(server, invite)


async def test_a_reset_link_sets_a_password_once(moved, server):
    reset = moved.sent["reset"]
    with pytest.raises(StanzaError):
        await register(server, "mallory", reset)
    await register(server, "alice", reset, password="a newer password")
    assert await has_account(server, "alice", password="a newer password")
    with pytest.raises(StanzaError, match="already been used"):
        await register(server, "alice", reset, password="the newest password")
    await used(server, reset)


async def test_roles_arrive(moved, server):
    await register(server, "chief", moved.sent["admin"])
    assert CREATE_ACCOUNT in await (await server.login("chief")).commands("example.org")
    await register(server, "plain", moved.sent["roles"])
    assert CREATE_ACCOUNT not in await (await server.login("plain")).commands("example.org")
    roles = show(server, moved.sent["roles"])["roles"]
    assert roles == moved.sent["roles"].shown["roles"]


async def test_a_reusable_link_is_good_for_several_and_its_groups_arrive(moved, server):
    group = moved.sent["group"]
    for username in ("member-4", "member-5"):
        await register(server, username, group)
        for name in ("family", "staff"):
            assert f"Members of {name}: {username}" in server.prosody.log
    await used(server, group, 5)  # two before the first import, and one before the last


async def test_a_pinned_name_waits_for_its_own_link(moved, server):
    pinned = moved.sent["pinned"]
    with pytest.raises(StanzaError, match="not valid with this invitation"):
        await register(server, "mallory", pinned)
    with pytest.raises(StanzaError):
        await register(server, "carol", moved.sent["long"])
    await register(server, "carol", pinned)
    await used(server, pinned)


async def test_in_a_browser(moved, server):
    visitor = Visitor(server)
    for name, username in (("anybody", "browser-1"), ("friend", "browser-2")):
        done = await visitor.register(moved.sent[name], username)
        assert done.status in (200, 303), done.text
        assert await has_account(server, username)
        await used(server, moved.sent[name])
    again = await visitor.get(visitor.path(moved.sent["friend"]))
    assert (again.status, again.heading) == (410, text("used"))
    reset = moved.sent.get("reset by an admin") or moved.sent["reset by prosodyctl"]
    await visitor.reset(reset, "kites and lamps")
    assert await has_account(server, "bob", password="kites and lamps")


async def test_the_address_of_the_old_page_shows_the_invite(moved, server):
    visitor, invite = Visitor(server), moved.sent["by the API"]
    old, new = await visitor.get(f"/invites_page?{invite.token}"), await visitor.get(visitor.path(invite))
    assert (old.status, old.text) == (200, new.text)


@pytest.mark.parametrize("name", ("expired", "expired contact"))
async def test_a_link_that_had_expired_is_over(moved, server, name):
    await refused(server, moved.sent[name], "expired", "expired")


@pytest.mark.parametrize("name", ("used", "used by a friend", "used by a contact", "used reset", "withdrawn"))
async def test_a_link_that_prosody_keeps_nothing_of_is_not_known(moved, server, name):
    with pytest.raises(StanzaError, match="does not recognise|not complete"):
        await register(server, "mallory", moved.sent[name])
    page = await Visitor(server).get(Visitor(server).path(moved.sent[name]))
    assert page.status == 404 and page.heading in (text("unknown"), text("incomplete"))


async def refused(server, invite, words, heading):
    """Nobody gets in by an invite, and both a client and a browser say why."""
    with pytest.raises(StanzaError, match=words):
        await register(server, "mallory", invite)
    assert not await has_account(server, "mallory")
    page = await Visitor(server).get(Visitor(server).path(invite))
    assert (page.status, page.heading) == (410, text(heading))


async def test_a_link_that_was_used_between_the_imports_is_over(moved, server):
    await refused(server, moved.between["used"], "already been used", "used")
    await refused(server, moved.between["used by a contact"], "revoked|already been used", "revoked")


async def test_a_link_that_was_withdrawn_between_the_imports_makes_no_account(moved, server):
    with pytest.raises(StanzaError):
        await register(server, "mallory", moved.between["withdrawn"])
    assert not await has_account(server, "mallory")


@pytest.mark.parametrize("name", ("made", "not used"))
async def test_a_link_of_the_last_days_is_good(moved, server, name):
    await register(server, name.replace(" ", "-"), moved.between[name])
    await used(server, moved.between[name])


async def test_a_link_of_somebody_who_is_gone_is_over(moved, server):
    with pytest.raises(StanzaError):
        await register(server, "mallory", moved.sent["friend of somebody who is gone"])
    assert not await has_account(server, "mallory")


async def test_a_link_of_a_host_that_is_not_served_is_not_imported(moved, server):
    assert server.daemon.cli("show", moved.sent["elsewhere"].uri).returncode != 0
    assert OTHER_HOST in moved.said[0]


async def test_the_tree_has_who_joined_before(moved, server):
    tree = server.daemon.cli("tree", "alice@example.org").stdout
    assert "friend@example.org" in tree and "between@example.org" in tree


def test_what_was_imported_is_shown(moved, server):
    for name, sent in moved.sent.items():
        if sent.host == server.domain and sent.state in ("pending", "expired"):
            shown = show(server, sent)
            assert {key: shown[key] for key in sent.shown} == sent.shown, name
