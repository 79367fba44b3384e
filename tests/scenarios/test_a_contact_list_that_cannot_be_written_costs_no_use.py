"""A stanza that Prosody cannot store keeps a user's contact list from being written until Prosody
restarts. An invite of that user still makes one account, and the two are contacts afterwards."""

import asyncio

import pytest

from harness.server import password_of
from harness.stories import eventually, generate, has_account, show
from harness.web import Visitor, text, web_settings
from harness.xmpp import PING, StanzaError, preauth_element

TOO_DEEP = "<a>" * 200 + "</a>" * 200


@pytest.mark.parametrize("preauth", ["", preauth_element("A" * 24)], ids=["without-token", "with-token"])
async def test_the_use_is_not_given_back(make_server, preauth):
    server = make_server()
    invite = generate(server, "--contact", "alice@example.org")
    alice = await server.login("alice")
    await keep_contact_list_from_being_written(server, preauth)

    stream = await server.connect()
    await stream.preauth(invite.token)
    await stream.registration_set("carol", password_of("carol"))
    for username in ("greedy", "greedier"):
        for present in (stream.preauth(invite.token), asyncio.sleep(0)):
            with pytest.raises(StanzaError):
                await present
                await stream.registration_set(username, password_of(username))
        assert not await has_account(server, username)
    assert show(server, invite)["uses"] == 0  # not yet: the contact is missing
    assert "carol@example.org" not in await alice.roster()

    await carol_is_a_contact_after_a_restart(server, invite)


async def test_a_browser_is_told_that_the_contact_follows(make_server):
    server = make_server(settings=web_settings())
    invite, visitor = generate(server, "--contact", "alice@example.org"), Visitor(server)
    await keep_contact_list_from_being_written(server)
    form = await visitor.filled_in(invite, "carol")
    for _ in ("sent", "reloaded"):
        welcome = await visitor.post(visitor.path(invite, "register"), form)
        assert (welcome.status, welcome.heading) == (200, text("welcome", account="carol@example.org"))
        assert text("connected_later", inviter="alice@example.org") in welcome.text
        assert text("connected", inviter="alice@example.org") not in welcome.text
    assert await has_account(server, "carol")
    await carol_is_a_contact_after_a_restart(server, invite)


async def keep_contact_list_from_being_written(server, preauth=""):
    """Sends alice a contact request that Prosody cannot store."""
    mallory = await server.login("bob")
    mallory.send(f"<presence type='subscribe' to='alice@example.org'>{preauth}{TOO_DEEP}</presence>")
    await mallory.ask("get", f"<ping xmlns='{PING}'/>", "example.org")
    await eventually(lambda: "max table depth reached" in server.prosody.log, "Prosody cannot keep it")


async def carol_is_a_contact_after_a_restart(server, invite):
    server.prosody.restart()
    await eventually(lambda: show(server, invite)["state"] == "redeemed", "the use is counted")
    for username, contact in (("alice", "carol@example.org"), ("carol", "alice@example.org")):
        async with await server.login(username) as user:
            assert (await user.roster())[contact].subscription == "both"
