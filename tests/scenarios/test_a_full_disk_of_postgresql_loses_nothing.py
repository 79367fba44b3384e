"""PostgreSQL's disk is full. Requests are refused as temporary, the log says why, and everything
acknowledged is kept. When there is room again, everything works on."""

import tempfile
from pathlib import Path

import pytest

from harness.disk import fill, small
from harness.postgres import Postgres
from harness.stories import eventually, generate, has_account, in_store, new_invite, register, show
from harness.torture import UNLIMITED
from harness.xmpp import StanzaError

pytestmark = pytest.mark.store("postgres")

TRY_AGAIN = "wait/resource-constraint: .*try again later"


@pytest.fixture
def disk():
    with tempfile.TemporaryDirectory() as folder:
        with small(Path(folder), "128m") as mounted:  # a new cluster takes 40 MB, and more for its log
            yield mounted


async def test_until_there_is_room_again(disk, make_server):
    with Postgres(disk) as postgres:
        server = make_server(store_url=postgres.create_database(), settings=UNLIMITED)
        alice, invite = await server.login("alice"), generate(server)
        made = [await new_invite(alice)]
        fill(disk / "ballast")
        with pytest.raises(StanzaError, match=TRY_AGAIN):
            while True:
                made.append(await new_invite(alice))
        assert "no space is left on the disk" in server.daemon.log
        with pytest.raises(StanzaError, match=TRY_AGAIN):
            await register(server, "carol", invite)
        assert not await has_account(server, "carol")
        done = server.daemon.cli("generate", "example.org", "--count", "1000")
        assert done.returncode == 1 and "no space is left on the disk" in done.stderr
        told = 1 + len(made) + len(done.stdout.splitlines())
        assert in_store(server, "SELECT count(*) FROM invite") == [(told,)]

        (disk / "ballast").unlink()
        await new_invite(alice)
        await register(server, "carol", invite)
        await eventually(lambda: show(server, invite)["state"] == "redeemed", "the use is counted")
        assert {show(server, known)["state"] for known in (made[0], made[-1])} == {"pending"}
        await register(server, "dave", made[-1])
        assert server.daemon.logins == 1
