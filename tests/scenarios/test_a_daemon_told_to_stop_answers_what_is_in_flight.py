"""SIGTERM while requests are in flight: the daemon answers them, keeps in the store what it
answered, and ends with exit code 0."""

import asyncio
import sqlite3

import pytest

from harness.stories import NEW_INVITE, Invite, conclusive, eventually, show
from harness.torture import UNLIMITED
from harness.xmpp import ADHOC, PING, error_of, form_in, form_values

ADDRESSES = ["example.org", "invite.example.org"]
NO_LIMITS = 'limits = { c2s = { rate = "1gb/s" } }'
DEVICES = 10


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("address", ADDRESSES)
async def test_requests_that_wait_for_the_store(make_server, address):
    server = make_server(settings=UNLIMITED)
    devices = [await server.login("alice") for _ in range(DEVICES)]
    bob = await server.login("bob")
    store = sqlite3.connect(server.daemon.folder / "easy-invite.db", isolation_level=None)

    async def are_answered():
        if server.daemon.pid is None:
            server.daemon.start()
        store.execute("BEGIN IMMEDIATE")
        for device in devices:
            device.inbox.clear()
            ask_for_invites(device, address, 1)
        await bob.ask("get", f"<ping xmlns='{PING}'/>", "invite.example.org")  # earlier requests are in flight now
        begun = len(server.daemon.log)
        ending = asyncio.create_task(asyncio.to_thread(server.daemon.stop))
        await eventually(lambda: "SIGTERM" in server.daemon.log[begun:], "the daemon is told to stop")
        all_wait = not any(replies(device) for device in devices)
        store.execute("COMMIT")
        for device in devices:
            await eventually(lambda: replies(device), "an answer")
        assert await ending == 0
        in_time = all_wait and all(invites_told(device) for device in devices)
        for device in devices if in_time else []:
            show(server, made(replies(device)[0]))
        return in_time

    await conclusive(are_answered, "all requests wait for the store, and then get their links")


@pytest.mark.parametrize("address", ADDRESSES)
async def test_requests_that_are_just_arriving(make_server, address):
    server = make_server(global_lines=NO_LIMITS, settings=UNLIMITED)
    devices = [await server.login("alice") for _ in range(DEVICES)]
    for device in devices:
        ask_for_invites(device, address, 50)
    await eventually(lambda: any(invites_told(device) for device in devices), "the first invite")
    assert await asyncio.to_thread(server.daemon.stop) == 0
    await eventually(lambda: all(len(replies(device)) == 50 for device in devices), "all answers")

    told = [reply for device in devices for reply in invites_told(device)]
    known = server.daemon.cli("--json", "list", "--limit", "1000").stdout.splitlines()
    assert 0 < len(told) <= len(known)
    show(server, made(told[-1]))


def ask_for_invites(user, address, number):
    for id in range(number):
        user.send(f"<iq type='set' id='invite-{id}' to='{address}'>"
                  f"<command xmlns='{ADHOC}' node='{NEW_INVITE}' action='execute'/></iq>")


def replies(user):
    return [stanza for stanza in user.inbox if stanza.get("id", "").startswith("invite-")]


def invites_told(user):
    return [reply for reply in replies(user) if not error_of(reply)]


def made(reply):
    return Invite(form_values(form_in(reply))["uri"])
