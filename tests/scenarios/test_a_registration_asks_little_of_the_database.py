"""How many transactions and statements each step asks of PostgreSQL: the table in docs/scaling.md.
Operators plan by it."""

import re
from pathlib import Path

import psycopg
import pytest

from harness.daemon import REPOSITORY
from harness.stories import eventually, generate, new_invite

pytestmark = pytest.mark.store("postgres")

ROW = re.compile(r"^\| ([^|]+?) +\| (\d+) +\| (\d+) +\|$", re.MULTILINE)


async def test_as_the_table_says(make_server, store_url, postgres):
    url = store_url()
    database = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} SET log_statement = 'all'")
    server = make_server(store_url=url)
    counted = {}

    async def count(step, work):
        before = len(postgres.log)
        result = await work
        statements = [text for text in re.findall(
                          rf"^{database} LOG:  (?:execute [^:]*|statement): (.*)$", postgres.log[before:], re.MULTILINE)
                      if not text.startswith(("SET ", "SHOW ")) and "reserved_at <=" not in text]
        writing = sum(text.startswith(("START", "BEGIN")) for text in statements)
        reads_alone = len(statements) - sum(text.startswith(("START", "BEGIN", "COMMIT")) for text in statements)
        counted[step] = (writing, reads_alone)
        return result

    alice = await server.login("alice")
    for _ in range(20):
        await new_invite(alice)  # until every connection of the pool has prepared its statements
    invite = await count("New Invite", new_invite(alice))
    link = generate(server, "--contact", "alice@example.org")
    stream = await server.connect()
    await count("present a token", stream.preauth(link.token))

    async def registration():
        await stream.registration_set("carol", "a good password")
        await eventually(lambda: "invite used" in server.daemon.log, "the use is counted")

    await count("register: reserve and redeem", registration())
    assert invite
    table = (Path(REPOSITORY) / "docs" / "scaling.md").read_text()
    assert {step: (int(writing), int(statements)) for step, writing, statements in ROW.findall(table)} == counted
