"""The connection between Prosody and the daemon is cut during a registration, at one byte after
another of everything that passes, both ways. In the end, each link has made one account, with its
contact, and no second one."""

import asyncio

import pytest

from harness.relay import Relay
from harness.stories import Invite, eventually, generate, has_account, register, show
from harness.torture import UNLIMITED
from harness.xmpp import StanzaError, StreamClosed, WaitTimeout

CUTS = 40  # with each setup
UNCUT = 3  # registrations: the daemon may ask once more about the inviter if one takes long
AT_ONCE = 4  # servers that share the cuts: after a cut, a daemon waits before it connects again
HOOK_IS_THERE = "the hook is there"
NEVER = 1_000_000_000  # bytes


@pytest.mark.seconds(120)
async def test_each_link_makes_one_account(make_server):
    servers = [make_server(run_daemon=False, settings=UNLIMITED) for _ in range(AT_ONCE)]
    async with asyncio.TaskGroup() as group:
        for number, server in enumerate(servers):
            group.create_task(cut_again_and_again(server, number))


async def cut_again_and_again(server, number):
    """Makes every AT_ONCE-th of the cuts.
    Registrations without a cut show first how much passes at least."""
    with Relay(server.prosody.component_port) as relay:
        server.daemon.config["component"]["server"] = relay.address
        server.daemon.start()
        await eventually(lambda: HOOK_IS_THERE in server.daemon.log, "the daemon and the hook are connected")
        length = min([await length_uncut(server, relay, f"uncut-{number}") for number in range(UNCUT)])
        cuts = 0
        for cut in range(number, CUTS, AT_ONCE):
            cuts += await cut_once(server, relay, length * cut // CUTS, f"guest-{cut}")
        assert cuts, "nothing was cut"
        async with await server.login("alice") as alice:
            contacts = await alice.roster()
        for cut in range(number, CUTS, AT_ONCE):
            guest = f"guest-{cut}"
            assert await has_account(server, guest), guest
            async with await server.login(guest) as stream:
                theirs = await stream.roster()
            for item in (contacts.get(f"{guest}@example.org"), theirs.get("alice@example.org")):
                assert item is not None and item.subscription == "both", (guest, item)


async def length_uncut(server, relay, guest):
    """A guest registers. Returns how many bytes pass."""
    invite = generate(server, "--contact", "alice@example.org")  # the daemon asks about alice
    begin = relay.passed
    await register(server, guest, invite)
    await eventually(lambda: show(server, invite)["state"] == "redeemed", "the use is counted")
    return relay.passed - begin


async def cut_once(server, relay, offset, guest):
    """A guest registers, and the wire is cut after so many bytes.
    They try again until they get an answer. Returns whether the offset was reached: on a busy machine,
    questions are asked together, and less may pass than without a cut."""
    invite = generate(server, "--contact", "alice@example.org")
    before = len(server.daemon.log)
    await asyncio.to_thread(server.daemon.restart)  # after each cut, it would wait longer
    await eventually(lambda: HOOK_IS_THERE in server.daemon.log[before:], "the daemon and the hook are connected")
    relay.cut_after(offset)
    await eventually(lambda: registered(server, guest, invite), f"{guest} has an account, cut at {offset}")
    await eventually(lambda: show(server, invite)["state"] == "redeemed", f"the use is counted, cut at {offset}")
    is_cut = await asyncio.to_thread(relay.struck.wait, 10)
    if is_cut:
        await asyncio.to_thread(server.daemon.wait_until_logged_in, times=2)
    else:
        relay.cut_after(NEVER)
    with pytest.raises(StanzaError, match="item-not-found"):
        await register(server, f"late-{guest}", invite)
    assert not await has_account(server, f"late-{guest}")
    return is_cut


async def registered(server: object, guest: str, invite: Invite) -> bool:
    """Tries to register, and returns whether the guest has an account then."""
    try:
        await register(server, guest, invite)
    except StanzaError:
        return await has_account(server, guest)
    except (StreamClosed, WaitTimeout, ConnectionError):
        return False
    return True
