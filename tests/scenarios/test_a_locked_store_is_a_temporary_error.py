"""While another program holds the store's lock, writes are refused within seconds as temporary, and
everything else works. Afterwards all is as before."""

import asyncio
import sqlite3

import pytest

from harness.stories import conclusive, eventually, generate, has_account, new_invite, register, served_before, show
from harness.xmpp import PING, StanzaError

pytestmark = pytest.mark.store("sqlite")

SERVICE = "invite.example.org"


async def test_until_the_lock_is_released(server):
    alice, bob, invite = await server.login("alice"), await server.login("bob"), generate(server)
    with sqlite3.connect(server.daemon.folder / "easy-invite.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        command = asyncio.create_task(asyncio.to_thread(server.daemon.cli, "generate", "example.org"))

        async def the_rest_works():
            refused = [asyncio.create_task(work) for work in (new_invite(alice), register(server, "carol", invite))]
            served = await served_before(refused, lambda: bob.ask("get", f"<ping xmlns='{PING}'/>", SERVICE))
            for work in refused:
                with pytest.raises(StanzaError, match="wait/resource-constraint: .*try again later"):
                    await work
            return served

        await conclusive(the_rest_works, "pings are answered while the daemon waits for 4 seconds")
        assert not await has_account(server, "carol")
        done = await command
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert "locked by another program" in done.stderr and "locked by another program" in server.daemon.log
        other.execute("COMMIT")

    await new_invite(alice)
    await register(server, "carol", invite)
    await eventually(lambda: show(server, invite)["state"] == "redeemed", "the use is counted")
    assert server.daemon.logins == 1
