"""While commits wait for a standby that is away, users who run New Invite are told to try again later.
What is stored of that afterwards is withdrawn, also by a daemon that was killed meanwhile: nobody has
an invite that they do not know of, and none counts."""

import asyncio
import contextlib
import json
import tempfile
import threading
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from harness.postgres import Postgres
from harness.stories import eventually, generate, new_invite, register
from harness.xmpp import StanzaError

pytestmark = [pytest.mark.store("postgres"), pytest.mark.seconds(240)]

USERS = [f"user-{number}" for number in range(20)]


@pytest.fixture
def own_postgres():
    with tempfile.TemporaryDirectory() as folder:
        running = Postgres(Path(folder))
        running.start()
        yield running
        running.kill()


def hold_commits(postgres, url):
    """Lets commits wait for a standby that is not there. Returns when they do."""
    postgres.set("synchronous_standby_names", "nobody")
    warnings = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.add_notice_handler(warnings.append)
        while not warnings:  # a commit that waits no longer says so
            cancel = threading.Timer(0.5, connection.cancel)
            cancel.start()
            with contextlib.suppress(psycopg.errors.QueryCanceled):
                connection.execute("CREATE TABLE probe (); DROP TABLE probe")
            cancel.cancel()


def invites_of(server):
    """How many invites each user has."""
    listed = server.daemon.cli("--json", "list", "example.org", "--state", "all", "--limit", "1000")
    assert listed.returncode == 0, listed.stderr
    inviters = [json.loads(line)["inviter"] for line in listed.stdout.splitlines()]
    return Counter(inviter.partition("@")[0] for inviter in inviters if inviter)


async def all_ask(users):
    """Every user runs New Invite. Returns who got an invite. All others are told to try again later."""
    told = await asyncio.gather(*(new_invite(user) for user in users.values()), return_exceptions=True)
    refused = [answer for answer in told if isinstance(answer, BaseException)]
    for answer in refused:
        assert isinstance(answer, StanzaError) and (answer.type, answer.condition) == ("wait", "resource-constraint")
        assert "try again later" in answer.text
    return {name for name, answer in zip(users, told, strict=True) if answer not in refused}


async def test_while_the_standby_was_away(make_server, own_postgres):
    url = own_postgres.create_database()
    server = make_server(store_url=url, settings={"hosts": {"example.org": {"invites_per_day": 1}}})
    door = generate(server, "--uses", "unlimited")
    await asyncio.gather(*(register(server, name, door) for name in USERS))
    users = dict(zip(USERS, await asyncio.gather(*(server.login(name) for name in USERS)), strict=True))

    hold_commits(own_postgres, url)
    assert not await all_ask(users)
    await asyncio.to_thread(server.daemon.kill)
    server.daemon.start()
    assert not invites_of(server)

    asking = asyncio.create_task(all_ask(users))
    await asyncio.sleep(2)
    own_postgres.set("synchronous_standby_names", "")
    have = await asking
    await eventually(lambda: invites_of(server) == dict.fromkeys(have, 1), "who was told no has none")
    events = [json.loads(line) for line in server.daemon.cli("--json", "log").stdout.splitlines()]
    withdrawn = sum(event["action"] == "withdrawn" for event in events)
    assert withdrawn, "no invite was stored that nobody knows of"
    logged = lambda: server.daemon.log.count(" withdrawn: ")
    await eventually(lambda: logged() >= withdrawn, "the daemon logs each of them")

    while others := {name: user for name, user in users.items() if name not in have}:
        have |= await all_ask(others)
    assert invites_of(server) == dict.fromkeys(USERS, 1)
