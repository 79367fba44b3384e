"""An invite with several uses makes a limited number of accounts a day from one address, even for
registrations at once. Other addresses are not affected. Failed registrations and single-use invites
do not count."""

import asyncio

import pytest

from harness.stories import generate, has_account, register, show, used
from harness.xmpp import StanzaError

ONE, OTHER = "127.0.0.2", "127.0.0.3"
MOST = 2
REFUSED = ("wait/policy-violation: Too many accounts have been created from your network with this invitation "
           "within a day. Please try again after 20")


@pytest.fixture
def server(make_server):
    return make_server(settings={"limits": {"registrations": MOST}})


@pytest.mark.parametrize("uses", ["100", "unlimited"])
async def test_from_one_address(server, uses):
    invite = generate(server, "--uses", uses)
    for _ in range(2 * MOST):
        with pytest.raises(StanzaError, match="conflict"):
            await register(server, "alice", invite, source=ONE)
    names = [f"guest{number}" for number in range(3 * MOST)]
    tried = await asyncio.gather(*(register(server, name, invite, source=ONE) for name in names),
                                 return_exceptions=True)
    refused = [str(result) for result in tried if result is not None]
    assert len(refused) == 2 * MOST and all(text.startswith(REFUSED) for text in refused), refused
    await used(server, invite, MOST)
    assert sum([await has_account(server, name) for name in names]) == MOST
    await register(server, "elsewhere", invite, source=OTHER)
    await register(server, "single", generate(server), source=ONE)
    await register(server, "another", generate(server, "--uses", uses), source=ONE)
    await used(server, invite, MOST + 1)
    assert show(server, invite)["state"] == "pending"
