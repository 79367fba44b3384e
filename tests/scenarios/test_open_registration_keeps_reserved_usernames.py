"""With `registration_invite_only = false`, a reserved username still belongs to its invite, in any
spelling, until the invite ends."""

import pytest

from harness.stories import generate, has_account, register, show
from harness.xmpp import StanzaError

OPEN = {"hosts": {"example.org": {"registration_invite_only": False}}}


async def test_a_reserved_name(make_server):
    server = make_server(settings=OPEN)
    carols, daves = (generate(server, "--username", name) for name in ("carol", "dave"))
    for spelling in ("carol", "CAROL"):
        with pytest.raises(StanzaError, match="cancel/conflict: .*reserved"):
            await register(server, spelling)
    assert not await has_account(server, "carol")
    await register(server, "carol", carols)

    assert server.daemon.cli("revoke", show(server, daves)["id"]).returncode == 0
    await register(server, "dave")
