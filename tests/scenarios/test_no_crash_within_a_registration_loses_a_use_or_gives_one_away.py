"""Promise 2, at every stanza of a registration: the daemon, Prosody, both or the wire between them
fail just before the stanza arrives, or right after Prosody's answer to the client. In the end the
link makes one account, with its contact, and no second one."""

import asyncio

import pytest

from harness.relay import FAULTS, Relay
from harness.stories import eventually, generate, has_account, register, registers, show

STANZAS = {
    "check": "<check ",
    "checked": "<invite ",
    "reserve": "<reserve ",
    "reserved": "<reserved ",
    "redeem": "<fate ",
    "redeemed": "<iq [^>]*type=.result.[^>]*(/>|></iq>)",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stanza", STANZAS)
async def test_a_single_use(make_server, stanza, fault):
    server = make_server(run_daemon=False)
    with Relay(server.prosody.component_port) as relay:
        server.daemon.config["component"]["server"] = relay.address
        server.daemon.start()
        invite = generate(server, "--contact", "alice@example.org")

        relay.before(STANZAS[stanza], lambda: FAULTS[fault](server, relay))
        registration = await relay.struck_during(lambda: registers(server, "carol", invite))
        await revive(server)
        await registration
        await one_account_is_made(server, invite)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if "killed" in fault])
async def test_a_single_use_that_was_confirmed_to_the_client(make_server, fault):
    server = make_server(run_daemon=False)
    with Relay(server.prosody.component_port) as relay:
        server.daemon.config["component"]["server"] = relay.address
        server.daemon.start()
        invite = generate(server, "--contact", "alice@example.org")
        await register(server, "carol", invite)
        FAULTS[fault](server, relay)
        await revive(server)
        assert await has_account(server, "carol")
        await one_account_is_made(server, invite)


async def one_account_is_made(server, invite):
    """carol gets her account, if need be by another try. dave gets none."""
    if not await has_account(server, "carol"):
        await eventually(lambda: registers(server, "carol", invite), "the token is as good as before")
    await eventually(lambda: show(server, invite)["state"] == "redeemed", "the use is counted")
    assert not await registers(server, "dave", invite)
    assert await has_account(server, "carol") and not await has_account(server, "dave")
    for one, other in (("carol", "alice"), ("alice", "carol")):
        async with await server.login(one) as stream:
            assert (await stream.roster())[f"{other}@example.org"].subscription == "both"


async def revive(server):
    """Starts what was killed, and waits for the daemon's next login."""
    logins = 1 if server.daemon.pid is None else 2
    server.revive()
    await asyncio.to_thread(server.daemon.wait_until_logged_in, times=logins)
