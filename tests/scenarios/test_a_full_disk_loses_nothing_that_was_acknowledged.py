"""The store's disk is full. Requests are refused as temporary, the log says why, and everything
acknowledged is kept. When there is room again, the daemon works on."""

import asyncio
import re

import pytest

from harness.disk import fill
from harness.stories import differences, eventually, generate, has_account, new_invite, register, show
from harness.xmpp import StanzaError

pytestmark = pytest.mark.store("sqlite")

TRIES = 400
FOR_GOOD = 5  # refusals in a row, counted from when the file cannot grow


@pytest.fixture
def server(disk, make_server):
    return make_server(settings={"store": {"url": f"sqlite:{disk}/easy-invite.db"}})


@pytest.mark.seconds(120)
async def test_until_there_is_room_again(server, disk):
    alice, invite = await server.login("alice"), generate(server, "--uses", "unlimited")
    made = [await new_invite(alice)]
    fill(disk / "ballast")
    refused = joined = 0
    for _ in range(TRIES):
        if refused == FOR_GOOD:
            break
        try:
            made.append(await new_invite(alice))
            refused = 0  # copying the log into the file makes room again
        except StanzaError as error:
            assert re.match("wait/resource-constraint: .*try again later", str(error))
            refused += "cannot be copied into its file" in server.daemon.log
            await asyncio.sleep(0.2)
    assert refused == FOR_GOOD and "no space is left on the disk" in server.daemon.log
    with pytest.raises(StanzaError, match="wait/resource-constraint: .*try again later"):
        while joined < TRIES:  # the log may have room for smaller changes
            await register(server, f"carol{joined}", invite)
            joined += 1
    refused_name = f"carol{joined}"
    assert not await has_account(server, refused_name)
    done = server.daemon.cli("generate", "example.org")
    assert (done.returncode, done.stdout) == (1, "") and "no space is left on the disk" in done.stderr

    (disk / "ballast").unlink()
    await new_invite(alice)
    await register(server, refused_name, invite)
    await eventually(lambda: show(server, invite)["uses"] == joined + 1, "the uses are counted")
    # Those that no longer fitted are settled later.
    assert {show(server, known)["state"] for known in made} == {"pending"}
    await register(server, "dave", made[-1])
    await eventually(lambda: not differences(server), "the log of events tells what happened, and no more")
    assert server.daemon.logins == 1
