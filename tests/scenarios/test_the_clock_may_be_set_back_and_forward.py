"""The machine's clock is set back an hour, and forward a day, while people invite and register. No
use is lost or made twice, open reservations are settled in the usual time, and invites expire by
the new time."""

import asyncio

import pytest

from harness.crowd import Crowd
from harness.relay import Relay
from harness.stories import (conclusive, eventually, generate, has_account, in_store, leave_open, register, show, used,
                             uses_taken)
from harness.torture import UNLIMITED
from harness.xmpp import StanzaError

HOUR, DAY = 3600, 24 * 3600
CHANGES = {"back-an-hour": -HOUR, "forward-a-day": DAY}


@pytest.fixture
def server(make_server):
    return make_server(movable_clock=True, settings=UNLIMITED)


@pytest.mark.parametrize("change", CHANGES)
async def test_while_people_invite_and_register(server, change):
    async with Crowd(server) as crowd:
        for _ in range(3):
            server.clock.set(CHANGES[change])
            await asyncio.sleep(1)
            server.clock.set(0)
            await asyncio.sleep(0.5)
        server.clock.set(CHANGES[change])
    await crowd.count()
    assert server.daemon.logins == 1


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("made", [True, False])
async def test_open_reservations_are_settled(server, change, made):
    """The use is reserved, Prosody crashes with the account made or not, and the clock is set."""
    invite = generate(server, "--contact", "alice@example.org")
    with Relay(server.prosody.component_port) as relay:
        server.daemon.config["component"]["server"] = relay.address
        server.daemon.restart()
        relay.before("<fate " if made else "<reserved ", server.prosody.kill)
        registration = await relay.struck_during(lambda: register(server, "carol", invite))
        await asyncio.wait([registration])
        assert uses_taken(server, invite) == 1 and show(server, invite)["uses"] == 0
        server.clock.set(CHANGES[change])
        server.prosody.start()
        await eventually(lambda: show(server, invite)["uses"] == uses_taken(server, invite) == int(made),
                         "the reservation is settled")
        assert await has_account(server, "carol") == made


@pytest.mark.one_setup
async def test_open_reservations_are_settled_without_a_new_login(server):
    """An answer was lost. The reservation now lies an hour
    in the future, but does not wait for that hour."""
    invite = generate(server)
    leave_open(server, invite, "carol@example.org", seconds_ago=0)
    server.clock.set(-HOUR)
    await eventually(lambda: uses_taken(server, invite) == 0, "the use is free again")
    await register(server, "dave", invite)
    assert server.daemon.logins == 1


@pytest.mark.one_setup
@pytest.mark.parametrize("change", CHANGES)
async def test_a_registration_in_flight_goes_on(server, change):
    """The clock is set while the daemon hangs during a registration.
    No other client gets the same use."""
    invite, stream = generate(server), await server.connect()
    await stream.preauth(invite.token)

    async def goes_on():
        server.clock.set(0)
        server.daemon.pause()
        registration = asyncio.create_task(stream.registration_set("carol", "carol's password"))
        await asyncio.sleep(1)
        server.clock.set(CHANGES[change])
        server.daemon.resume()
        try:
            await registration
        except StanzaError as refusal:
            assert (refusal.type, refusal.condition) == ("wait", "resource-constraint"), refusal
            return False
        return True

    await conclusive(goes_on, "the daemon answers before the module has waited for 5 seconds")
    await used(server, invite)
    with pytest.raises(StanzaError, match="item-not-found"):
        await register(server, "dave", invite)
    assert await has_account(server, "carol") and not await has_account(server, "dave")


@pytest.mark.one_setup
async def test_invites_expire_by_the_new_time(server):
    short, long = generate(server, "--expires", "2h"), generate(server, "--expires", "2d")
    server.clock.set(DAY)
    with pytest.raises(StanzaError, match="item-not-found: This invitation has expired"):
        await register(server, "carol", short)
    await register(server, "bea", long)
    server.clock.set(-HOUR)
    await register(server, "carol", short)
    await used(server, short)
    await used(server, long)


@pytest.mark.one_setup
async def test_ended_invites_are_kept_as_long_as_ever(make_server):
    """For three hours, here. A clock that is wrong by
    an hour, either way, ends none of them too early."""
    server = make_server(movable_clock=True, settings={"store": {"retention": "3h"}})
    kept = generate(server, "--expires", "2h")
    revoked = generate(server)
    assert server.daemon.cli("revoke", revoked.uri).returncode == 0
    ended_long_ago = generate(server, "--expires", "1h")
    aged = "UPDATE invite SET expires_at = expires_at - 18000 WHERE id = ?"
    in_store(server, aged, show(server, ended_long_ago)["id"])
    for change in (-HOUR, HOUR):
        server.clock.set(change)
        server.daemon.restart()  # it removes old invites at once, and then every hour
        await asyncio.sleep(1)
        assert show(server, kept)["state"] == "pending" and show(server, revoked)["state"] == "revoked"
    await eventually(lambda: "removed" in server.daemon.log, "what ended long ago is removed")
    assert server.daemon.cli("show", ended_long_ago.uri).returncode == 1
    server.clock.set(0)
    await register(server, "carol", kept)
