"""Prosody is killed before its first write to disk while it creates an account for a browser, then,
with another account, before its second, and so on. Asked afterwards, the hook tells the truth:
either the account exists, with its contact and its password, or nothing of it does and it can be
created."""

import itertools

from harness.gate import PlayedDaemon
from harness.prosody import INVITE_HOST
from harness.server import password_of
from harness.stories import accounts_on_disk, has_account

FEWEST_WRITES = 4  # the account, its details, and two contact lists
WITH_CONTACT = {"contact": "alice@example.org"}


async def test_at_every_write(make_server):
    server = make_server(run_daemon=False)
    fates = set()
    for write in itertools.count(1):
        restart(server, INVITE_HOST.replace("{ ", '{ "crash_at_a_write", ') + f"crash_at_write = {write}")
        username, before = f"guest-{write}", accounts_on_disk(server)
        if await created(server, f"r{write}", username):
            break
        restart(server, INVITE_HOST)
        daemon = await PlayedDaemon.connect(server)
        fate = await daemon.settle(f"r{write}", username, **WITH_CONTACT)
        fates.add(fate)
        if fate == "not-made":
            assert accounts_on_disk(server) == before
            assert not await has_account(server, username)
            assert await daemon.create(f"r{write}-again", username, password_of(username), **WITH_CONTACT) == "made"
        for one, other in (("alice", username), (username, "alice")):
            async with await server.login(one) as user:
                assert (await user.roster())[f"{other}@example.org"].subscription == "both", f"write {write}"
    assert write > FEWEST_WRITES
    assert fates == {"made", "not-made"}


def restart(server, host_lines):
    """Starts Prosody with these settings, whether it is running or dead."""
    server.prosody.kill()
    server.prosody.hosts["example.org"] = host_lines
    server.prosody.start()


async def created(server, reservation, username):
    """Whether the hook lived to report that it has created the account."""
    daemon = await PlayedDaemon.connect(server)
    try:
        return await daemon.create(reservation, username, password_of(username), **WITH_CONTACT) == "made"
    except ConnectionError:
        return False
