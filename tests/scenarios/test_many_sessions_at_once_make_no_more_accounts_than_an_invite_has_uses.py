"""Sessions that present one token and register at the
same moment get no more accounts than it has uses."""

import asyncio

import pytest

from harness.stories import generate, has_account, register, show, used
from harness.server import password_of
from harness.xmpp import StanzaError

pytestmark = pytest.mark.every_setup

SESSIONS = 8


async def register_at_once(server, invite, names):
    """Every session presents the token, then all register, each with its name.
    Returns the refusals' conditions."""
    streams = [await server.connect() for _ in names]
    for stream in streams:
        await stream.preauth(invite.token)
    tries = [stream.registration_set(name, password_of(name)) for stream, name in zip(streams, names)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    refusals = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(refusal, StanzaError) for refusal in refusals), refusals
    return [refusal.condition for refusal in refusals]


@pytest.mark.parametrize("uses", [1, 3])
async def test_with_different_names(server, uses):
    invite = generate(server, "--uses", str(uses))
    names = [f"racer-{number}-for-{uses}" for number in range(SESSIONS)]
    refusals = await register_at_once(server, invite, names)
    assert len(refusals) == SESSIONS - uses
    assert set(refusals) <= {"not-acceptable", "resource-constraint"}
    assert sum([await has_account(server, name) for name in names]) == uses
    await used(server, invite, uses)
    with pytest.raises(StanzaError, match="item-not-found"):
        await register(server, f"late-for-{uses}", invite)


async def test_with_the_same_name(server):
    invite = generate(server, "--uses", str(SESSIONS))
    refusals = await register_at_once(server, invite, ["namesake"] * SESSIONS)
    assert len(refusals) == SESSIONS - 1
    assert set(refusals) <= {"conflict", "resource-constraint"}
    assert await has_account(server, "namesake")
    await used(server, invite)


async def test_with_the_same_name_and_one_use(server):
    invite = generate(server)
    assert len(await register_at_once(server, invite, ["double"] * SESSIONS)) == SESSIONS - 1
    assert await has_account(server, "double")
    await used(server, invite)


async def test_with_the_same_name_in_different_invites(server):
    invites = [generate(server) for _ in range(SESSIONS)]
    tries = [register(server, "rival", invite) for invite in invites]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert outcomes.count(None) == 1
    assert sum(show(server, invite)["uses"] for invite in invites) == 1


async def test_with_every_step_at_once(server):
    invite = generate(server, "--uses", "3")
    names = [f"sprinter-{number}" for number in range(SESSIONS)]
    outcomes = await asyncio.gather(*[register(server, name, invite) for name in names], return_exceptions=True)
    assert outcomes.count(None) == 3
    assert sum([await has_account(server, name) for name in names]) == 3
    await used(server, invite, 3)
