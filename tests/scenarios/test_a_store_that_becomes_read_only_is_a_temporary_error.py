"""The kernel finds the store's disk damaged and makes it read-only under the running daemon.
Requests are refused as temporary, and the log says where to look. When the disk is mended,
everything acknowledged is there."""

import pytest

from harness.disk import careful, damage, mend
from harness.stories import eventually, generate, has_account, new_invite, register, show
from harness.xmpp import StanzaError

pytestmark = pytest.mark.store("sqlite")

TRY_AGAIN = "wait/resource-constraint: .*try again later"


@pytest.fixture
def disk(tmp_path):
    with careful(tmp_path / "disk") as folder:
        yield folder


async def test_until_it_is_writable_again(disk, make_server):
    server = make_server(settings={"store": {"url": f"sqlite:{disk}/easy-invite.db"},
                                   "control": {"socket": "easy-invite.sock"}})
    alice, invite = await server.login("alice"), generate(server)
    made = await new_invite(alice)
    damage(disk)
    for _ in range(2):
        with pytest.raises(StanzaError, match=TRY_AGAIN):
            await new_invite(alice)
        with pytest.raises(StanzaError, match=TRY_AGAIN):
            await register(server, "carol", invite)
    assert not await has_account(server, "carol")
    assert "read-only by now? See dmesg" in server.daemon.log
    done = server.daemon.cli("generate", "example.org")
    assert (done.returncode, done.stdout) == (1, "") and "read-only" in done.stderr

    server.daemon.stop()
    mend(disk)
    server.daemon.start()
    await register(server, "carol", invite)
    await eventually(lambda: show(server, invite)["state"] == "redeemed", "the use is counted")
    await register(server, "dave", made)
