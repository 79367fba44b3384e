"""Promises 1 and 2, wherever it hurts: people register, two with each use of a link, while the daemon, Prosody, both, the
database or the wire between them fail again and again. Everybody tries until they are told yes or no. In the end each
use has made exactly one account, with its contact, and every invite that anybody was told of is there."""

import os

import pytest

from harness.server import Server
from harness.torture import UNLIMITED, torture

pytestmark = pytest.mark.every_setup

KILLS = 70  # with each of the three setups


@pytest.mark.seconds(600)
async def test_every_use_makes_one_account(prosody_version, store_url, tmp_path, request):
    url, seed = store_url(), os.urandom(8).hex()
    server = Server(prosody_version, tmp_path, store_url=url, settings=UNLIMITED)
    server.make_users()
    postgres = request.getfixturevalue("postgres") if url.startswith("postgres:") else None
    try:
        tally = await torture(server, postgres, seed, kills=KILLS)
    finally:
        server.kill()
        if postgres:  # the one that runs was started by another thread, and ends with it; other tests need it too
            postgres.kill()
            postgres.start()
    print(tally)
    assert (tally.losses, tally.doubles) == ([], []), f"seed {seed}: {tally}"
    assert tally.kills >= KILLS and tally.accounts > KILLS / 4
