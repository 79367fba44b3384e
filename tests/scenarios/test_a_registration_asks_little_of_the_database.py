"""How many transactions and statements each step needs from PostgreSQL is what the table in
docs/scaling.md says. Operators plan by it."""

import re
from pathlib import Path

import psycopg
import pytest

from harness.daemon import REPOSITORY
from harness.stories import conclusive, eventually, generate, new_invite

pytestmark = pytest.mark.store("postgres")

# What the daemon does every few seconds: it settles uses, writes that it is at work, and tells what
# the command line did, and the makers of invites that they were used, and withdraws links. Of a new
# connection it asks which server it is.
NOW_AND_THEN = ("pg_control_system", "reserved_at <=", "last_seen", "untold = 1", "UPDATE notice", "FROM notice",
                "FROM withdrawn_link")

# The last column, of round trips, is for `tests/postgres.rs`.
ROW = re.compile(r"^\| ([^|]+?) +\| (\d+) +\| (\d+) +\| \d+ +\|$", re.MULTILINE)


def transactions_of(said):
    """The statements of each transaction that has ended, with its begin and end, from what each
    process said. What has not ended is no part of a step: its maker would wait for it."""
    transactions, running = [], {}
    for process, text in said:
        if text.startswith(("SET ", "SHOW ")):
            continue
        if text.startswith(("START", "BEGIN")):
            running[process] = []
            transactions.append(running[process])
        elif process not in running:
            transactions.append([])
        running.get(process, transactions[-1]).append(text)
        if text.startswith("COMMIT"):
            running.pop(process, None)
    ended = [texts for texts in transactions if not any(texts is open_texts for open_texts in running.values())]
    return [texts for texts in ended if not any(part in text for part in NOW_AND_THEN for text in texts)]


async def test_as_the_table_says(make_server, store_url, postgres):
    table = (Path(REPOSITORY) / "docs" / "scaling.md").read_text()
    expected = {step: (int(writing), int(statements)) for step, writing, statements in ROW.findall(table)}
    counted = []

    async def is_as_expected():  # unless a step takes so long that the daemon asks about something again
        counted.append(await count_all(make_server, store_url(), postgres))
        return counted[-1] == expected

    try:
        await conclusive(is_as_expected, "the numbers of the table")
    except AssertionError as error:
        raise AssertionError(f"{error}: {expected}, but {counted}") from None


async def count_all(make_server, url, postgres):
    """The transactions that write, and the statements that read, of each step on a new store."""
    database = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} SET log_statement = 'all'")
    server = make_server(store_url=url)
    counted = {}

    async def count(step, work):
        before = len(postgres.log)
        result = await work
        said = re.findall(rf"^{database} (\d+) LOG:  (?:execute [^:]*|statement): (.*)$", postgres.log[before:],
                          re.MULTILINE)
        transactions = transactions_of(said)
        writing = sum(len(transaction) > 1 for transaction in transactions)
        reads_alone = sum(len(transaction) for transaction in transactions) - 2 * writing
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
    return counted
