"""Another program may open the store while the daemon runs. Everything that the daemon acknowledges
afterwards is there, for the command line and after a crash."""

import sqlite3

import pytest

from harness.stories import new_invite, register, show

pytestmark = pytest.mark.store("sqlite")


async def test_invites_made_afterwards_are_kept(make_server):
    server = make_server()
    alice = await server.login("alice")
    before = await new_invite(alice)
    store = sqlite3.connect(server.daemon.folder / "easy-invite.db")
    assert store.execute("SELECT count(*) FROM invite").fetchone() == (1,)
    store.close()
    after = await new_invite(alice)
    assert show(server, after)["state"] == "pending"
    server.daemon.kill()
    server.daemon.start()
    for username, invite in (("carol", before), ("dave", after)):
        await register(server, username, invite)
