"""Promises 1 and 2, with faults at random: people register, two with each use of a link, while the
daemon, Prosody, both, the database, the wire between them, Prosody's disk or another module fail
again and again. Some passwords cannot be stored, and some roles, groups and contacts not be given.
Everybody tries until they get an answer. In the end each use has made exactly one account, with all
that its link grants, every invite that was reported exists, and Prosody has no other account, and
nothing of any."""

import os

import pytest

from harness.server import Server
from harness.torture import UNLIMITED, torture

pytestmark = pytest.mark.every_setup

KILLS = 70  # with each setup


@pytest.mark.seconds(900)
async def test_every_use_makes_one_account(prosody_version, store_url, tmp_path, request):
    url, seed = store_url(), os.urandom(8).hex()
    server = Server(prosody_version, tmp_path, store_url=url, settings=UNLIMITED)
    postgres = request.getfixturevalue("postgres") if url.startswith("postgres:") else None
    try:
        tally = await torture(server, postgres, seed, kills=KILLS)
    finally:
        server.kill()
        if postgres:  # the thread that started it ends, and it ends with that thread; other tests need it
            postgres.kill()
            postgres.start()
    print(tally)
    assert (tally.losses, tally.doubles) == ([], []), f"seed {seed}: {tally}"
    assert tally.kills >= KILLS and tally.accounts > KILLS / 4
