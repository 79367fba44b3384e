"""Two clients that know nothing of invites run the component's commands: Cheogram in the Commands
tab of a contact, and Beagle from service discovery, without ever naming the session."""

import pytest

from harness import clients
from harness.server import password_of
from harness.stories import (
    CREATE_ACCOUNT,
    INVITE_WITH_OPTIONS,
    INVITES_OF,
    MY_INVITES,
    NEW_INVITE,
    PASSWORD_RESET,
    Invite,
    register,
    show,
)
from harness.xmpp import StanzaError

COMPONENT = "invite.example.org"


async def log_in(kind, server, username):
    client = kind(server)
    await client.log_in(username, password_of(username))
    return client


async def test_cheogram_shows_the_commands_in_the_tab_of_a_contact(server):
    alice = await log_in(clients.Cheogram, server, "alice")
    assert await alice.open_commands_tab(COMPONENT) == {
        NEW_INVITE: "New Invite", INVITE_WITH_OPTIONS: "Invite with Options", MY_INVITES: "My Invites"}
    shown = await alice.run_command(COMPONENT, NEW_INVITE)
    assert (shown.status, shown.note) == ("completed", None)
    await register(server, "judy", Invite(shown.values["uri"]))


async def test_the_component_is_there_again_at_the_next_login(server):
    bob = await log_in(clients.Cheogram, server, "bob")
    await bob.open_commands_tab(COMPONENT)
    await bob.log_out()
    again = await server.login("bob")
    await again.presence_from(COMPONENT)


async def test_cheogram_sends_a_whole_form_back(server):
    admin = await log_in(clients.Cheogram, server, "admin")
    assert set(await admin.open_commands_tab(COMPONENT)) == {
        NEW_INVITE, INVITE_WITH_OPTIONS, MY_INVITES, CREATE_ACCOUNT, PASSWORD_RESET, INVITES_OF}
    shown = await admin.run_command(COMPONENT, CREATE_ACCOUNT, {"username": "Kim", "note": "from the tab"})
    assert shown.status == "completed"
    invite = show(server, Invite(shown.values["uri"]))
    assert (invite["username"], invite["note"], invite["type"]) == ("kim", "from the tab", "account")


@pytest.mark.parametrize("address", ["example.org", COMPONENT])
async def test_beagle_runs_new_invite(server, address):
    alice = await log_in(clients.Beagle, server, "alice")
    shown = await alice.run_command(address, NEW_INVITE)
    assert (shown.status, shown.note) == ("completed", None)
    await register(server, f"friend-by-{address}", Invite(shown.values["uri"]))


@pytest.mark.parametrize("address", ["example.org", COMPONENT])
async def test_beagle_fills_in_a_form_without_naming_the_session(server, address):
    admin = await log_in(clients.Beagle, server, "admin")
    shown = await admin.run_command(address, CREATE_ACCOUNT, {"roster-subscription": "1", "uses": "2"})
    assert shown.status == "completed"
    invite = show(server, Invite(shown.values["uri"]))
    assert (invite["type"], invite["max_uses"]) == ("account-and-contact", 2)


@pytest.mark.parametrize("kind", [clients.Cheogram, clients.Beagle])
async def test_a_user_renews_and_takes_back_an_invite(server, kind):
    alice = await log_in(kind, server, "alice")
    made = await alice.run_command(COMPONENT, INVITE_WITH_OPTIONS, {"note": f"by {kind.name}"})
    old = Invite(made.values["uri"])
    id = show(server, old)["id"]
    renewed = await alice.run_command(COMPONENT, MY_INVITES, {"invite": id, "action": "regenerate"})
    with pytest.raises(StanzaError, match="item-not-found"):
        await register(server, "eve", old)
    changing = await alice.run_command(COMPONENT, MY_INVITES, {"invite": id, "action": "change"})
    form = clients.fill_in(changing.form, {"note": "in the second form"})
    session = changing.session if kind is clients.Cheogram else None
    changed = alice.show(await alice.stream.execute(COMPONENT, MY_INVITES, action=None, session=session, form=form))
    assert changed.note.startswith("Saved: in the second form · 0 of 1 used")
    revoked = await alice.run_command(COMPONENT, MY_INVITES, {"invite": id, "action": "revoke"})
    assert revoked.note.startswith("The invitation “in the second form” has been revoked")
    with pytest.raises(StanzaError, match="item-not-found"):
        await register(server, "eve", Invite(renewed.values["uri"]))
