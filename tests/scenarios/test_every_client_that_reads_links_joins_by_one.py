"""Conversations (new and old), Cheogram, Monal, yaxim and Siskin register with each kind of link,
each in its own way.

Afterwards they ask for the inviter's presence with the same token, which is used by then. No user
notices.
"""

import pytest

from harness import clients
from harness.server import password_of
from harness.stories import generate, has_account, new_invite, requests_to, used
from harness.xmpp import local_name


@pytest.mark.parametrize("kind", clients.ALL_THAT_REDEEM)
async def test_by_a_link_to_a_contact(server, kind):
    alice = await server.login("alice")
    invite = await new_invite(alice)
    username = f"{kind.__name__}-friend".lower()
    friend = kind(server)
    await friend.join(invite.uri, username, "a good password")
    await alice.presence_from(friend.jid)
    await friend.stream.presence_from("alice@example.org")

    friend.stream.send_message(alice.jid, "Here I am")
    await alice.expect_stanza("message", sender=friend.jid)
    assert presence_types(alice) <= {None, "unavailable"}
    assert presence_types(friend.stream) <= {None, "unavailable", "subscribed"}
    assert await requests_to(server, "alice") == set()
    assert (await alice.roster())[friend.jid].subscription == "both"
    contact = (await friend.stream.roster())["alice@example.org"]
    assert (contact.subscription, contact.ask) == ("both", None)
    await used(server, invite)


@pytest.mark.parametrize("kind", clients.ALL_THAT_REDEEM)
async def test_by_a_link_to_the_server(server, kind):
    invite = generate(server)
    assert invite.uri.startswith("xmpp:example.org?register;")
    username = f"{kind.__name__}-guest".lower()
    await kind(server).join(invite.uri, username, "a good password")
    await used(server, invite)


@pytest.mark.parametrize("kind", clients.ALL_THAT_REDEEM)
async def test_by_a_link_for_one_username(server, kind):
    username = f"{kind.__name__}-own".lower()
    invite = generate(server, "--username", username)
    assert invite.uri.startswith(f"xmpp:{username}@example.org?register;")
    await kind(server).join(invite.uri, username, "a good password")
    await used(server, invite)


async def test_siskin_presents_the_token_again_after_a_slow_user(server):
    invite = generate(server)
    await clients.Siskin(server).redeem(invite.uri, "slow", password_of("slow"), slow=True)
    assert await has_account(server, "slow")
    await used(server, invite)


def presence_types(stream):
    return {stanza.get("type") for stanza in stream.inbox if local_name(stanza) == "presence"}
