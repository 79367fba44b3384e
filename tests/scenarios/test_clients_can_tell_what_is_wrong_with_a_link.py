"""Each client tells its user why a link does not work.
No link is a dead end that the server could have avoided."""

import pytest

from harness import clients
from harness.stories import generate, has_account, register, used

USED = {
    clients.Conversations: "^Invalid registration token$",
    clients.ConversationsOld: "^Invalid registration token$",
    clients.Cheogram: "^Invalid registration token$",
    clients.Monal: r"item-not-found \(This invitation has already been used\)",
    clients.Yaxim: r"item-not-found \(This invitation has already been used\)",
    clients.Siskin: "^This invitation has already been used$",
}

TAKEN = {
    clients.Conversations: "^Username already in use$",
    clients.ConversationsOld: "^Username already in use$",
    clients.Cheogram: "^Username already in use$",
    clients.Monal: r"conflict \(The requested username already exists\.\)",
    clients.Yaxim: r"conflict \(The requested username already exists\.\)",
    clients.Siskin: r"^The requested username already exists\.$",
}

AWAY = {
    clients.Conversations: "^Try again later$",
    clients.Monal: r"resource-constraint \(.*try again later\.\)",
    clients.Yaxim: r"resource-constraint \(.*try again later\.\)",
    clients.Siskin: "try again later",
}


@pytest.mark.parametrize("kind", USED)
async def test_when_it_was_used(server, kind):
    invite = generate(server)
    await register(server, f"{kind.__name__}-first", invite)
    await used(server, invite)
    with pytest.raises(clients.ClientError, match=USED[kind]):
        await kind(server).redeem(invite.uri, f"{kind.__name__}-second", "a good password")


@pytest.mark.parametrize("kind", TAKEN)
async def test_when_the_username_is_taken_and_another_one_works(server, kind):
    invite = generate(server)
    with pytest.raises(clients.ClientError, match=TAKEN[kind]):
        await kind(server).redeem(invite.uri, "bob", "a good password")
    await kind(server).redeem(invite.uri, f"not-bob-but-{kind.__name__}", "a good password")
    assert await has_account(server, "bob")
    await used(server, invite)


async def test_when_monal_let_its_user_edit_a_fixed_username(server):
    invite = generate(server, "--username", "heidi")
    with pytest.raises(clients.ClientError, match="The chosen username is not valid with this invitation"):
        await clients.Monal(server).redeem(invite.uri, "mallory", "a good password")
    assert not await has_account(server, "mallory", password="a good password")
    await clients.Monal(server).redeem(invite.uri, "heidi", "a good password")


@pytest.mark.parametrize("kind", AWAY)
async def test_when_the_daemon_is_away(make_server, kind):
    server = make_server()
    invite = generate(server)
    server.daemon.stop()
    with pytest.raises(clients.ClientError, match=AWAY[kind]):
        await kind(server).redeem(invite.uri, "ivan", "a good password")
    server.daemon.start()
    await kind(server).redeem(invite.uri, "ivan", "a good password")
