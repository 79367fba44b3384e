"""A user can make a limited number of invites a day, and have a limited number pending, and is told
when the next one can be made. Tries at the same time get no further. Admins and the operator are
exempt."""

import asyncio
import re

import pytest

from harness import clients
from harness.prometheus import metrics_settings, shown
from harness.server import password_of
from harness.stories import generate, new_account_invite, new_invite, register, revoke, used
from harness.xmpp import StanzaError

MOST = 3
WHEN = r"20\d\d-\d\d-\d\d \d\d:\d\d UTC"


@pytest.fixture
def make(make_server):
    return lambda **options: make_server(settings={"hosts": {"example.org": options}, **metrics_settings()})


def refusals(server):
    """How many requests were refused, by reason, as a monitoring system is told."""
    of = {re.search('reason="(.*)"', series)[1]: number for series, number in shown(server).items()
          if series.startswith("easy_invite_refusals_total")}
    return {reason: number for reason, number in of.items() if number}


async def test_a_day(make):
    server = make(invites_per_day=MOST)
    alice, bob = await server.login("alice"), await server.login("bob")
    made = await asyncio.gather(*(new_invite(alice, to) for to in (None, server.component) * MOST),
                                return_exceptions=True)
    refused = [result for result in made if isinstance(result, StanzaError)]
    assert refusals(server) == {"too_many_today": MOST}
    assert len(made) - len(refused) == MOST
    for refusal in refused:
        assert (refusal.type, refusal.condition) == ("wait", "policy-violation")
        assert re.fullmatch("You have created 3 invitations within a day. This server allows no more. "
                            f"You can create the next one after {WHEN}", refusal.text)
    assert "urn:xmpp:invite#invite" in await alice.commands(server.domain)
    await new_invite(bob)
    revoke(server, next(result for result in made if result not in refused))
    with pytest.raises(StanzaError, match="wait/policy-violation"):  # a revoked invite counts, too
        await new_invite(alice)


async def test_at_a_time(make):
    server = make(pending_invites=1)
    alice = await server.login("alice")
    invite = await new_invite(alice)
    with pytest.raises(StanzaError, match="wait/policy-violation: You have 1 invitation that can still be used. "
                       f"This server allows no more. You can create the next one when .* on {WHEN}"):
        await new_invite(alice)
    await register(server, "carol", invite)
    await used(server, invite)
    await new_invite(alice)


@pytest.mark.one_setup
async def test_admins_are_exempt(make):
    server = make(invites_per_day=1, pending_invites=1, inviter_age="4w")
    admin = await server.login("admin")
    for to in (server.domain, server.component) * 2:
        await new_invite(admin, to)
        await new_account_invite(admin, {}, to)
    assert refusals(server) == {}, "what an admin gets was not refused"
    for _ in range(2):
        generate(server, "--contact", "admin@example.org")


@pytest.mark.one_setup
@pytest.mark.parametrize("kind", [clients.ConversationsOld, clients.Cheogram, clients.Monal])
async def test_apps_show_when_the_next_one_can_be_made(make, kind):
    alice = kind(make(invites_per_day=1))
    await alice.log_in("alice", password_of("alice"))
    await alice.create_invite()
    with pytest.raises(clients.ClientError, match=rf"You have created 1 invitation within a day\. .* after {WHEN}"):
        await alice.create_invite()
