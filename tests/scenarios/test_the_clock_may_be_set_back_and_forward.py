"""The machine's clock is set back an hour, and forward a day, while people invite and register: no use is lost or made
twice, what is open is settled as soon as ever, and invites end by the clock as it goes."""

import asyncio

import pytest

from harness.crowd import Crowd
from harness.relay import Relay
from harness.stories import eventually, generate, has_account, in_store, leave_open, register, show, used, uses_taken
from harness.torture import UNLIMITED
from harness.xmpp import StanzaError

HOUR, DAY = 3600, 24 * 3600
CHANGES = {"back-an-hour": -HOUR, "forward-a-day": DAY}
SETTLED_WITHIN = 25  # seconds: what is open for ten seconds is looked into every ten seconds


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
async def test_what_was_open_is_settled(server, change, made):
    """Reserved before the clock was set; Prosody then crashed, with the account made or not."""
    invite = generate(server, "--contact", "alice@example.org")
    with Relay(server.prosody.component_port) as relay:
        server.daemon.config["component"]["server"] = relay.address
        server.daemon.restart()
        relay.before("<redeem " if made else "<reserved ", server.prosody.kill)
        registration = asyncio.create_task(register(server, "carol", invite))
        assert await asyncio.to_thread(relay.struck.wait, 10)
        await asyncio.wait([registration])
        assert uses_taken(server, invite) == 1 and show(server, invite)["uses"] == 0
        server.clock.set(CHANGES[change])
        server.prosody.start()
        await eventually(lambda: show(server, invite)["uses"] == uses_taken(server, invite) == int(made), "it is settled",
                         seconds=SETTLED_WITHIN)
        assert await has_account(server, "carol") == made


@pytest.mark.one_setup
async def test_what_was_open_is_settled_without_a_new_login(server):
    """As when an answer was lost: what was reserved "in an hour" does not wait for that hour."""
    invite = generate(server)
    leave_open(server, invite, "carol@example.org", seconds_ago=0)
    server.clock.set(-HOUR)
    await eventually(lambda: uses_taken(server, invite) == 0, "the use is free again", seconds=SETTLED_WITHIN)
    await register(server, "dave", invite)
    assert server.daemon.logins == 1


@pytest.mark.one_setup
@pytest.mark.parametrize("change", CHANGES)
async def test_what_is_in_flight_goes_on(server, change):
    """The daemon hangs while somebody registers, and the clock is set; whoever else wants the use does not get it too."""
    invite, stream = generate(server), await server.connect()
    await stream.preauth(invite.token)
    server.daemon.pause()
    registration = asyncio.create_task(stream.registration_set("carol", "carol's password"))
    await asyncio.sleep(1)
    server.clock.set(CHANGES[change])
    server.daemon.resume()
    await registration
    await used(server, invite)
    with pytest.raises(StanzaError, match="item-not-found"):
        await register(server, "dave", invite)
    assert await has_account(server, "carol") and not await has_account(server, "dave")


@pytest.mark.one_setup
async def test_invites_end_by_the_clock_as_it_goes(server):
    short, long = generate(server, "--expires", "2h"), generate(server, "--expires", "2d")
    server.clock.set(DAY)
    with pytest.raises(StanzaError, match="item-not-found: The invitation has expired"):
        await register(server, "carol", short)
    await register(server, "bea", long)
    server.clock.set(-HOUR)
    await register(server, "carol", short)
    await used(server, short)
    await used(server, long)


@pytest.mark.one_setup
async def test_what_ended_is_kept_as_long_as_ever(make_server):
    """Three hours, here: a clock that is an hour wrong, either way, brings nobody's end so near."""
    server = make_server(movable_clock=True, settings={"store": {"retention": "3h"}})
    kept = generate(server, "--expires", "2h")
    revoked = generate(server)
    assert server.daemon.cli("revoke", revoked.uri).returncode == 0
    ended_long_ago = generate(server, "--expires", "1h")
    in_store(server, "UPDATE invite SET expires_at = expires_at - 18000 WHERE id = ?", show(server, ended_long_ago)["id"])
    for change in (-HOUR, HOUR):
        server.clock.set(change)
        server.daemon.restart()  # what ended long ago is removed at once, and then every hour
        await asyncio.sleep(1)
        assert show(server, kept)["state"] == "pending" and show(server, revoked)["state"] == "revoked"
    assert "removed" in server.daemon.log and server.daemon.cli("show", ended_long_ago.uri).returncode == 1
    server.clock.set(0)
    await register(server, "carol", kept)
