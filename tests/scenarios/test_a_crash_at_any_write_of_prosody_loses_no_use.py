"""Promise 2, inside Prosody: it is killed before its first write to disk in a registration, then,
in another registration, before its second, and so on. In the end, each link has made one account,
which works and has its contact. This holds also if the clock was set back by an hour between the
reservation and the account."""

import asyncio
import itertools

import pytest

from harness.prosody import INVITE_HOST
from harness.stories import eventually, generate, has_account, in_store, registers, show

FEWEST_WRITES = 4  # the account, its details, and two contact lists
SET_BACK = "UPDATE invite_use SET reserved_at = reserved_at + ? WHERE redeemed_at IS NULL"


@pytest.mark.seconds(120)
@pytest.mark.parametrize("set_back", [0, 3600], ids=["", "the-clock-set-back"])
async def test_at_every_write(make_server, set_back):
    server = make_server(run_daemon=False)
    for write in itertools.count(1):
        restart(server, INVITE_HOST.replace("{ ", '{ "crash_at_a_write", ') + f"crash_at_write = {write}")
        username, invite = f"guest-{write}", generate(server, "--contact", "alice@example.org")
        if await registers(server, username, invite) and await ended_without_a_crash(server, invite, write):
            break
        server.prosody.kill()  # it is dead already, but the harness must know
        in_store(server, SET_BACK, set_back)
        server.prosody.hosts["example.org"] = INVITE_HOST
        server.prosody.start()
        await asyncio.to_thread(server.daemon.wait_until_logged_in, times=2)

        async def can_log_in():
            return await has_account(server, username) or await registers(server, username, invite)

        await eventually(can_log_in, f"after a crash at write {write} the token is good, or has made the account")
        await eventually(lambda: show(server, invite)["state"] == "redeemed", f"use {write} is counted")
        for one, other in (("alice", username), (username, "alice")):
            async with await server.login(one) as stream:
                assert (await stream.roster())[f"{other}@example.org"].subscription == "both", f"write {write}"
    assert write > FEWEST_WRITES


def restart(server, host_lines):
    """Restarts both. The daemon is restarted because it would wait before it connects again."""
    server.daemon.stop()
    server.prosody.stop()
    server.prosody.hosts["example.org"] = host_lines
    server.prosody.start()
    server.daemon.start()


async def ended_without_a_crash(server, invite, write):
    """Whether the registration, which was confirmed, ended without a crash:
    contact lists are written after that."""
    def crashed():
        return server.prosody.log.count("Killed before writing") == write  # one for each write so far

    def over():
        return crashed() or show(server, invite)["state"] == "redeemed"

    await eventually(over, "the registration or the server has ended")
    return not crashed()
