"""With `allow_contact_invites = false`, users find no New Invite, and are told why they cannot run
it. What they made before, they see and take back. Admins can invite."""

import pytest

from harness.clients import ALL_WITH_A_BUTTON, ClientError
from harness.stories import INVITE_WITH_OPTIONS, MY_INVITES, NEW_INVITE, new_invite
from harness.xmpp import StanzaError


@pytest.fixture
def strict(make_server):
    return make_server(settings={"hosts": {"example.org": {"allow_contact_invites": False}}})


@pytest.mark.parametrize("address", ["example.org", "invite.example.org"])
async def test_it_is_not_listed_and_forbidden(strict, address):
    alice = await strict.login("alice")
    commands = await alice.commands(address)
    assert not {NEW_INVITE, INVITE_WITH_OPTIONS} & set(commands) and MY_INVITES in commands
    with pytest.raises(StanzaError, match="auth/forbidden"):
        await alice.execute(address, INVITE_WITH_OPTIONS, form={"note": "for whom?"})
    with pytest.raises(StanzaError, match="auth/forbidden: You do not have permission"):
        await new_invite(alice, address)
    with pytest.raises(StanzaError, match="auth/forbidden"):
        await alice.disco_info(address, NEW_INVITE)


@pytest.mark.one_setup
@pytest.mark.parametrize("client", ALL_WITH_A_BUTTON, ids=lambda client: client.__name__)
async def test_clients_show_their_users_an_error(strict, client):
    alice = client(strict)
    await alice.log_in("alice", "alice's password")
    with pytest.raises(ClientError):
        await alice.create_invite()


@pytest.mark.one_setup
async def test_admins_can(strict):
    admin = await strict.login("admin")
    assert NEW_INVITE in await admin.commands("example.org")
    await new_invite(admin)
