"""Promise 6: while the daemon is away, nobody registers, invited or not.
The refusal says to try again later."""

import pytest

from harness.stories import generate, has_account, register
from harness.xmpp import StanzaError


def never_started(server):
    pass


def stopped(server):
    server.daemon.start()
    server.daemon.stop()


def killed(server):
    server.daemon.start()
    server.daemon.kill()


@pytest.fixture(params=[never_started, stopped, killed], ids=lambda way: way.__name__)
def away(request, make_server):
    """A server whose daemon is away. The daemon would leave registration open."""
    server = make_server(run_daemon=False, settings={"hosts": {"example.org": {"registration_invite_only": False}}})
    request.param(server)
    return server


async def test_without_an_invite(away):
    await assert_told_to_try_later(away)


async def test_with_an_invite(away):
    await assert_told_to_try_later(away, generate(away))


async def assert_told_to_try_later(server, invite=None):
    with pytest.raises(StanzaError, match="wait/resource-constraint: .*try again later"):
        await register(server, "carol", invite)
    assert not await has_account(server, "carol")
