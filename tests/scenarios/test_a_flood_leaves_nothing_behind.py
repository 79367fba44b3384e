"""Thirty clients ask for far more than they ever use: invites, forms that nobody fills in, tokens,
and registrations whose client leaves early or stays to the end. Meanwhile all is well, or the
store, the daemon, Prosody or the wire between the two fails. The daemon never holds more than a few
megabytes, threads, connections and reservations. Its memory does not grow from one flood to the
next, and nothing else stays."""

import asyncio
import itertools
import sqlite3

import pytest

from harness.process import Holdings
from harness.relay import Relay
from harness.server import password_of
from harness.stories import CREATE_ACCOUNT, NEW_INVITE, eventually, generate, in_store, new_invite, register, used
from harness.torture import UNLIMITED
from harness.watch import OPEN_USES, Watch
from harness.xmpp import ADHOC, REGISTER, AuthenticationError, StanzaError, StreamClosed, WaitTimeout, preauth_element

CLIENTS = 30
REQUESTS = 120  # of each client in each flood: 2400 in all
FLOODS = 3
MOST_FLOODS = 9  # until memory must have stopped growing
PATIENCE = 3  # seconds for an answer
BYTES_BEFORE_THE_CUT = 20_000
FAILS_FOR = 6  # seconds: the daemon gives the store up after 4 or 5

# The first flood fills what is meant to be kept: buffers, connections to the store, and the
# sessions of commands (the last 16 of an account, so one flood makes as many as there ever are).
# The other floods ask for the same again. What they add is a leak, with two exceptions. Their
# invites are in the store, and SQLite keeps up to 2 MB of it in memory for each of its two
# connections. And the allocator keeps fragments of its peak, which varies. Both come to an end:
# floods go on until two of them add less than this. A leak of a kB for each request would add 4.8
# MB with any two.
MOST_GROWTH = 5 * 1024  # kB

MOST_CONNECTIONS = 16  # to PostgreSQL: kept, once made

# At any moment of the floods. A request in flight takes a few kB, and there are at most 64 of each
# user and eight of each stream.
MOST_AT_ONCE = 16 * 1024  # kB
MOST_RECONNECTING = 2  # files: a connection that has just been lost, and the next one

UNHINDERED = 'limits = { c2s = { rate = "10mb/s" } }'
honest = itertools.count(1)
FLOOD_OVER = (StanzaError, StreamClosed, WaitTimeout, AuthenticationError, ConnectionError)


class Fault:
    """What fails during a flood."""

    def __init__(self, server, postgres, relay):
        self.server, self.postgres, self.relay = server, postgres, relay

    async def nothing(self):
        """Nothing fails."""

    async def store_hangs(self):
        """Another program holds SQLite's lock, or PostgreSQL hangs."""
        if self.postgres:
            self.postgres.pause()
            await asyncio.sleep(FAILS_FOR)
            self.postgres.resume()
        else:
            other = sqlite3.connect(self.server.daemon.folder / "easy-invite.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(FAILS_FOR)
            other.execute("ROLLBACK")
            other.close()

    async def daemon_hangs(self):
        """The daemon is paused (SIGSTOP) for a while."""
        self.server.daemon.pause()
        await asyncio.sleep(FAILS_FOR)
        self.server.daemon.resume()

    async def prosody_is_killed(self):
        """Prosody is killed, and started again."""
        before = times_connected(self.server)
        self.server.prosody.kill()
        await asyncio.sleep(1)
        self.server.prosody.start()
        await eventually(lambda: times_connected(self.server) > before, "the daemon is connected again")

    async def wire_is_cut(self):
        """The wire is cut in the middle of a stanza."""
        before = times_connected(self.server)
        self.relay.cut_after(BYTES_BEFORE_THE_CUT)
        await eventually(lambda: times_connected(self.server) > before, "the daemon is connected again")


@pytest.mark.seconds(300)
@pytest.mark.parametrize("fault", ["nothing", "store_hangs"])
async def test_again_and_again(make_server, setup, request, fault):
    await flood_again_and_again(make_server, setup, request, fault)


@pytest.mark.one_setup
@pytest.mark.seconds(300)
@pytest.mark.parametrize("fault", ["daemon_hangs", "prosody_is_killed", "wire_is_cut"])
async def test_again_and_again_while_all_is_well_with_the_store(make_server, setup, request, fault):
    await flood_again_and_again(make_server, setup, request, fault)


async def flood_again_and_again(make_server, setup, request, fault):
    """What stays is compared between floods, and the peak with the beginning."""
    server = make_server(run_daemon=False, global_lines=UNHINDERED, settings=UNLIMITED)
    postgres = request.getfixturevalue("postgres") if setup[1] == "postgres" else None
    connections = MOST_CONNECTIONS if postgres else 0
    with Relay(server.prosody.component_port) as relay:
        if fault == "wire_is_cut":
            server.daemon.config["component"]["server"] = relay.address
        server.daemon.start()
        link = generate(server, "--uses", "unlimited")
        before, after = Holdings.of(server.daemon.pid), []
        with Watch(server) as watch:
            for number in range(MOST_FLOODS):
                flood = asyncio.create_task(flooded(server, link, number))
                await asyncio.sleep(0.2)
                await getattr(Fault(server, postgres, relay), fault)()
                await flood
                await quiet(server)
                after.append(Holdings.of(server.daemon.pid))
                if len(after) >= FLOODS and after[-1].memory - after[-FLOODS].memory < MOST_GROWTH:
                    break
    watch.assert_bounded(growth=MOST_AT_ONCE, files=connections + MOST_RECONNECTING, open_uses=CLIENTS)
    assert after[-1].memory - after[-FLOODS].memory < MOST_GROWTH, after
    assert after[-1].threads <= before.threads, (before, after)
    assert after[-1].files <= before.files + connections, (before, after)


def times_connected(server):
    """How often the daemon and the module have connected."""
    return server.daemon.log.count("the hook is there")


async def flooded(server, link, number):
    """One flood: all clients at once."""
    await asyncio.gather(*[client(server, link, number, name) for name in range(CLIENTS)])


async def client(server, link, flood, name):
    """A flooding admin or stranger, who sends each kind of
    request without waiting for answers to the others."""
    does = (ask_for_commands, ask_to_register, register_and_wait)[name % 3]
    for part in range(4):
        try:
            await asyncio.wait_for(does(server, link, f"{flood}-{name}-{part}"), PATIENCE * 4)
        except (*FLOOD_OVER, TimeoutError):
            await asyncio.sleep(0.3)


async def ask_for_commands(server, link, name):
    """Asks for invites and for forms, and leaves before the last answers come."""
    stream = await server.login("admin", resource=f"flood-{name}", presence=False)
    for number in range(REQUESTS // 4):
        node = CREATE_ACCOUNT if number % 2 else NEW_INVITE
        address = server.domain if number % 4 < 2 else server.component
        stream.send(f"<iq type='set' id='{name}-{number}' to='{address}'><command xmlns='{ADHOC}' node='{node}'/></iq>")
    await asyncio.sleep(0.3)
    stream.abort()


async def ask_to_register(server, link, name):
    """Presents tokens, and leaves before its registration is answered."""
    stream = await server.connect()
    for number in range(REQUESTS // 4 - 1):
        stream.send(f"<iq type='set' id='{name}-{number}'>{preauth_element(link.token)}</iq>")
    stream.send(f"<iq type='set' id='{name}-register'><query xmlns='{REGISTER}'><username>flood-{name}</username>"
                f"<password>{password_of(name)}</password></query></iq>")
    await asyncio.sleep(0.01)
    stream.abort()


async def register_and_wait(server, link, name):
    """Registers as an honest client does."""
    await register(server, f"guest-{name}", link)


async def quiet(server):
    """Waits until no reservation is open and no request is in flight.
    Then the server must answer."""
    await eventually(lambda: in_store(server, OPEN_USES) == [(0,)], "no reservation is open")
    assert in_store(server, "SELECT count(*) FROM invite WHERE taken <> uses") == [(0,)]
    invites, made = 0, None
    while invites != made:  # requests from while the store hung are still being served
        invites, made = made, in_store(server, "SELECT count(*) FROM invite")
        await asyncio.sleep(0.5)
    async with await server.login("alice") as alice:
        invite = await new_invite(alice)
    await register(server, f"honest-{next(honest)}", invite)
    await used(server, invite)
