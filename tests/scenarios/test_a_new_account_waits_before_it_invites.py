"""With `inviter_age`, a new account cannot invite yet, and its user is told when it can.
An account of unknown age can."""

import re

import pytest

from harness.stories import eventually, generate, new_invite, register, used
from harness.xmpp import StanzaError

TOO_NEW = (r"wait/policy-violation: Your account is too new to create invitations\. You can create the first one after "
           r"20\d\d-\d\d-\d\d \d\d:\d\d UTC")


async def test_an_account_made_by_invite_waits(make_server):
    server = make_server(settings={"hosts": {"example.org": {"inviter_age": "2d"}}})
    invite = generate(server)
    await register(server, "carol", invite)
    await used(server, invite)
    carol = await server.login("carol")
    for to in (server.domain, server.component):
        with pytest.raises(StanzaError) as refused:
            await new_invite(carol, to)
        assert re.fullmatch(TOO_NEW, str(refused.value))
    assert "urn:xmpp:invite#invite" in await carol.commands(server.domain)
    server.daemon.config["hosts"]["example.org"]["inviter_age"] = "1s"
    server.daemon.restart()
    await eventually(lambda: may_invite(carol), "the account is a second old")


async def may_invite(user):
    try:
        await new_invite(user)
    except StanzaError as error:
        assert re.fullmatch(TOO_NEW, str(error))
        return False
    return True


async def test_an_account_made_by_the_operator_waits_if_the_server_knows_its_age(make_server):
    server = make_server(settings={"hosts": {"example.org": {"inviter_age": "2d"}}})
    alice = await server.login("alice")
    if server.prosody.version == "0.12":
        await new_invite(alice)
    else:
        with pytest.raises(StanzaError, match=TOO_NEW):
            await new_invite(alice)
