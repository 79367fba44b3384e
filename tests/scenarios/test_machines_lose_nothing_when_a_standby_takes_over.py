"""Two machines have their invites in a pair of PostgreSQL servers. Ten times under load, the standby
takes over: the primary is killed, made read-only, hangs, or runs on beside it, and becomes the
standby of the new one. Whatever people were told holds, and no use is given away twice."""

import os
import tempfile
from pathlib import Path

import pytest

from harness.disk import small
from harness.failover import FAILOVERS, fail_over
from harness.postgres import Pair
from harness.torture import UNLIMITED

pytestmark = pytest.mark.store("postgres")


@pytest.fixture
def pair():
    with tempfile.TemporaryDirectory() as folder, small(Path(folder), "1g"):  # copied again and again: in memory
        made = Pair(Path(folder))
        yield made
        made.kill()


@pytest.mark.seconds(600)
async def test_ten_times_under_load(make_server, pair):
    pair.start()
    url, seed = pair.create_database(), os.urandom(8).hex()
    servers = [make_server(version=version, store_url=url, settings=UNLIMITED) for version in ("13", "0.12")]
    tally = await fail_over(servers, pair, seed)
    print(tally)
    assert (tally.losses, tally.doubles) == ([], []), f"seed {seed}: {tally}"
    assert tally.accounts >= 2 * len(FAILOVERS)
