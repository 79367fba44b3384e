"""The built-in buttons of Conversations (new and old),
Cheogram, Monal and yaxim make an invite that registers."""

import pytest

from harness import clients
from harness.server import password_of
from harness.stories import Invite, register, show

NO_LANDING_PAGE = {"hosts": {"example.org": {"landing_page": None}}}


@pytest.mark.parametrize("kind", clients.ALL_WITH_A_BUTTON)
async def test_the_button_makes_an_invite(server, kind):
    alice = kind(server)
    await alice.log_in("alice", password_of("alice"))
    made = await alice.create_invite()
    invite = Invite(made.uri)
    assert made.uri == f"xmpp:alice@example.org?roster;preauth={invite.token};ibr=y"
    assert made.shared == f"https://join.example.org/#{made.uri.removeprefix('xmpp:')}"
    await register(server, f"friend-by-{kind.__name__}", invite)
    assert show(server, invite)["inviter"] == "alice@example.org"


@pytest.mark.one_setup
@pytest.mark.parametrize("kind", [clients.Conversations, clients.ConversationsOld, clients.Cheogram, clients.Monal])
async def test_without_a_landing_page_the_link_itself_is_shared(make_server, kind):
    server = make_server(settings=NO_LANDING_PAGE)
    alice = kind(server)
    await alice.log_in("alice", password_of("alice"))
    made = await alice.create_invite()
    assert made.landing_url is None
    assert made.shared.endswith(made.uri.removeprefix("xmpp:"))


async def test_the_app_of_an_admin_invites_for_an_account_and_a_contact(server):
    admin = clients.Conversations(server)
    await admin.log_in("admin", password_of("admin"))
    made = await admin.create_account_invite()
    await register(server, "grace", Invite(made.uri))
    await admin.stream.roster_push("grace@example.org", "both")
