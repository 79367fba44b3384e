"""docs/removing.md, which the README links to, removes everything of easy-invite and nothing of
Prosody: users keep their accounts and contacts, and nobody registers without an invite.

tests/package removes the package from a whole machine, with all that the documents tell to set
up."""

import os
import re
import shutil
import sqlite3
import subprocess

import pytest

from harness.daemon import REPOSITORY
from harness.postgres import program
from harness.stories import new_invite
from harness.xmpp import StanzaError

README = (REPOSITORY / "README.md").read_text().split("\n## Remove it\n")[1].split("\n## ")[0]
PAGE = REPOSITORY / re.search(r"\(([\w/]+\.md)\)", README)[1]
OF_A_SYSTEM = re.compile(r"^(systemctl|rm /etc/systemd|rm /usr/local/bin|userdel).*\n", re.MULTILINE)


def block(before: str, language: str = "sh") -> str:
    """The first block of the page behind these words."""
    rest = PAGE.read_text().split(before)[1]
    return re.search(rf"^```{language}\n(.*?)^```$", rest, re.MULTILINE | re.DOTALL)[1]


def run(commands: str, places) -> None:
    """Runs commands of the page, in other places than there."""
    for path, place in places.items():
        assert path in commands
        commands = commands.replace(path, str(place))
    subprocess.run(["sh", "-ec", commands], check=True)


async def leave_traces(server) -> None:
    """An account whose age the module notes, and a deletion that the daemon has not been told of."""
    for username in ("dave", "erin"):
        server.prosody.adduser(f"{username}@example.org", "a password")
        await new_invite(await server.login(username, "a password"))
    server.daemon.stop()
    server.prosody.deluser("dave@example.org")


async def assert_it_is_gone(server) -> None:
    prosody = server.prosody
    prosody.hosts["example.org"], prosody.components = "", {"other.example.org": "a secret"}
    prosody.start()
    await server.login("alice")
    stream = await server.connect()
    with pytest.raises(StanzaError):
        await stream.registration_set("mallory", "mallory's password")
    assert "easy_invite" not in prosody.log.split("Hello and welcome")[-1]


async def test_what_was_built_from_source(make_server, tmp_path):
    modules = tmp_path / "modules"
    shutil.copytree(REPOSITORY / "prosody" / "mod_easy_invite", modules / "mod_easy_invite")
    server = make_server(module_folder=modules)
    prosody, daemon = server.prosody, server.daemon
    await leave_traces(server)
    assert list(prosody.data_folder.rglob("easy_invite*")), "there is something to remove"

    server.stop()
    run(OF_A_SYSTEM.sub("", block("built it from source")),
        {"/usr/local/lib/prosody/modules": modules, "/etc/easy-invite /var/lib/easy-invite": daemon.folder})
    run(block("## 3. "), {"/var/lib/prosody": prosody.data_folder})
    assert not list(prosody.data_folder.rglob("*easy_invite*")) and not list(modules.iterdir())
    assert not daemon.folder.exists()
    await assert_it_is_gone(server)


@pytest.mark.one_setup
async def test_what_is_in_prosodys_database(make_server):
    server = make_server(storage="sql")
    await leave_traces(server)
    server.stop()
    database = server.prosody.data_folder / "prosody.sqlite"
    stores = "SELECT store, count(*) FROM prosody GROUP BY store"
    with sqlite3.connect(database) as connection:
        before = dict(connection.execute(stores).fetchall())
        assert any("easy_invite" in store for store in before), "there is something to remove"
        connection.execute(block("## 3. ", "sql"))
        kept = {store: count for store, count in before.items() if "easy_invite" not in store}
        assert dict(connection.execute(stores).fetchall()) == kept
    await assert_it_is_gone(server)


def test_a_store_in_postgresql(postgres):
    operations = (REPOSITORY / "docs" / "operations.md").read_text()
    made = re.findall("^sudo -u postgres (create.*)$", operations, re.MULTILINE)
    environment = {**os.environ, "PATH": f"{program('psql').parent}:{os.environ['PATH']}", "PGHOST": "127.0.0.1",
                   "PGPORT": str(postgres.port), "PGUSER": "postgres"}

    def with_postgres(commands: str) -> str:
        done = subprocess.run(["sh", "-ec", commands], check=True, env=environment, stdout=subprocess.PIPE, text=True)
        return done.stdout

    there = "psql -Atc 'SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database' postgres"
    before = with_postgres(there).split()
    with_postgres("\n".join(made).replace("--pwprompt ", ""))
    assert with_postgres(there).split().count("easy_invite") == 2, "a role and a database"
    with_postgres(block("its store in PostgreSQL").replace("sudo -u postgres ", ""))
    assert sorted(with_postgres(there).split()) == sorted(before)
