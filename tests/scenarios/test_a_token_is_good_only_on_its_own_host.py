"""One daemon serves two VirtualHosts of a Prosody.
An invite to one of them is no invite to the other."""

import pytest

from harness.prosody import INVITE_HOST
from harness.server import password_of
from harness.stories import generate, has_account, new_invite, register, show
from harness.xmpp import StanzaError

INVITATION_ONLY = "Registration on this server is through invitation only"
HOSTS = {
    "example.org": INVITE_HOST,
    "example.net": INVITE_HOST + '    easy_invite_component = "invite.example.org"\n',
}


@pytest.fixture
def server(make_server):
    return make_server(hosts=HOSTS)


async def test_each_host_takes_its_own(server):
    await register(server, "carol", generate(server, host="example.net"), domain="example.net")
    assert await has_account(server, "carol", domain="example.net")
    assert not await has_account(server, "carol")
    carol = await server.login("carol", domain="example.net")
    invite = await new_invite(carol)
    assert invite.uri.startswith("xmpp:carol@example.net?roster;")
    await register(server, "dave", invite, domain="example.net")
    await carol.roster_push("dave@example.net", "both")


async def test_the_other_host_does_not_know_it(server):
    invite = generate(server, host="example.net")
    with pytest.raises(StanzaError, match="cancel/item-not-found: This server does not recognise this invitation"):
        await register(server, "mallory", invite)
    assert show(server, invite)["uses"] == 0


async def test_presenting_it_to_the_other_host_helps_on_neither(server):
    invite = generate(server, host="example.net")
    stream = await server.connect("example.org")
    with pytest.raises(StanzaError):
        await stream.preauth(invite.token, "example.net")
    for to in (None, "example.org", "example.net"):
        with pytest.raises(StanzaError, match="not-acceptable|not-allowed"):
            await stream.registration_set("mallory", password_of("mallory"), to)
    assert not await has_account(server, "mallory")
    assert not await has_account(server, "mallory", domain="example.net")
    assert show(server, invite)["uses"] == 0


async def test_a_token_presented_to_one_host_does_not_register_on_the_other(server):
    invite = generate(server)
    stream = await server.connect("example.org")
    await stream.preauth(invite.token)
    with pytest.raises(StanzaError):
        await stream.registration_set("mallory", password_of("mallory"), "example.net")
    assert not await has_account(server, "mallory", domain="example.net")
    await stream.registration_set("erin", password_of("erin"))
    assert await has_account(server, "erin")


async def test_a_contact_token_of_another_host_makes_no_contact(server):
    await register(server, "carol", generate(server, host="example.net"), domain="example.net")
    alice, carol = await server.login("alice"), await server.login("carol", domain="example.net")
    carol.subscribe("alice@example.org", generate(
        server, "--contact", "carol@example.net", "--contact-only", host="example.net").token)
    await alice.presence_from("carol@example.net", "subscribe")


async def test_users_of_two_hosts_of_a_server_become_contacts(server):
    await register(server, "carol", generate(server, host="example.net"), domain="example.net")
    alice, carol = await server.login("alice"), await server.login("carol", domain="example.net")
    invite = await new_invite(alice)
    carol.subscribe("alice@example.org", invite.token)
    await alice.roster_push("carol@example.net", "both")
    await carol.roster_push("alice@example.org", "both")
    await alice.presence_from(carol.jid)
    await carol.presence_from(alice.jid)
