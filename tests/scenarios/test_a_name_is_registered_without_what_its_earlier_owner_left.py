"""bob's account is deleted where the daemon does not hear of it, and somebody else registers as bob by
an invite. Nothing of the old bob's works any more: his reset links, his invites to register, and
those that make contacts. What belongs to the new bob, and to others, does."""

import pytest

from harness.stories import generate, has_account, new_invite, register, reset_link, show, used
from harness.web import Visitor, web_settings
from harness.xmpp import StanzaError, bare


async def in_a_client(server, username, invite):
    await register(server, username, invite, password="kites and lamps")


async def in_a_browser(server, username, invite):
    assert (await Visitor(server).register(invite, username, "kites and lamps")).status == 200


@pytest.mark.parametrize("join", [in_a_client, in_a_browser])
async def test_nothing_of_the_old_owner_works(make_server, join):
    server = make_server(settings=web_settings())
    bob, alice, admin = [await server.login(username) for username in ("bob", "alice", "admin")]
    of_bob = [await new_invite(bob), generate(server, "--contact", "bob@example.org", "--uses", "5"),
              generate(server, "--contact", "bob@example.org", "--contact-only"), generate(server, "--reset", "bob"),
              await reset_link(admin, "bob")]
    of_others = [await new_invite(alice), generate(server, "--reset", "alice"), generate(server)]
    presented = [await server.connect(), await server.connect()]
    for stream, invite in zip(presented, (of_bob[0], of_bob[3])):
        await stream.preauth(invite.token)
    await bob.close()
    server.prosody.unregister("bob@example.org")

    newcomers = generate(server)
    await join(server, "bob", newcomers)
    await used(server, newcomers)
    assert [show(server, invite)["state"] for invite in of_bob] == ["revoked"] * 5
    assert [show(server, invite)["state"] for invite in of_others] == ["pending"] * 3
    for stream, username in zip(presented, ("carol", "bob")):
        with pytest.raises(StanzaError):
            await stream.registration_set(username, "a thief's")
    for invite, username in zip(of_bob, ("carol", "carol", "carol", "bob", "bob")):
        with pytest.raises(StanzaError):
            await register(server, username, invite, password="a thief's")
    new_bob = await server.login("bob", "kites and lamps")
    for stranger, invite in ((alice, of_bob[0]), (admin, of_bob[2])):
        stranger.subscribe("bob@example.org", invite.token)
        await new_bob.presence_from(bare(stranger.jid), "subscribe")  # the new bob is asked
    assert await new_bob.roster() == {}
    for invite, username in ((await new_invite(new_bob), "carol"), (generate(server, "--reset", "bob"), "bob"),
                             (of_others[1], "alice")):
        await register(server, username, invite, password="a new one")
        assert await has_account(server, username, password="a new one")
