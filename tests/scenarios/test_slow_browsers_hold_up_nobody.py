"""Connections that send a byte a second, never finish, read no answer, or come by the thousand and
stay silent. They are cut off within seconds, other visitors are served meanwhile, and nothing of
them stays."""

import asyncio
import contextlib
import resource
import socket

import pytest

from harness.process import Holdings
from harness.server import password_of
from harness.stories import eventually, generate, has_account, new_invite, register, used
from harness.web import FORM_COOKIE, Visitor, parse, text, web_settings

IDLE = 2000
SLOW = 50
PATIENCE = 10  # seconds that the daemon waits for a request, for its body, and for an answer to be read
CUT_OFF_WITHIN = PATIENCE + 120

# The allocator keeps fragments of what the first floods took, and fewer of each further one. How
# many depends on chance. A leak in every connection shows from the third flood to the fourth, and
# from each to the next. A connection takes some 10 kB, 20 MB in all.
FLOODS = 4
MOST_FLOODS = 8  # until one must have added less than this:
MOST_GROWTH = 15 * 1024  # kB
LOGO = b"<svg>" + b" " * 400_000
PIPELINED = 50  # logos: more than the kernel buffers for a browser that reads nothing
PAGES = 50  # for each of the connections that ask for all of them at once

pytestmark = pytest.mark.one_setup


@pytest.fixture(autouse=True)
def many_files():
    """Lets this process open as many connections as the tests need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * IDLE)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def server(make_server, tmp_path):
    (tmp_path / "logo.svg").write_bytes(LOGO)
    limits = {limit: "unlimited" for limit in ("wrong_tokens", "pages", "forms")}
    return make_server(settings={**web_settings(logo=str(tmp_path / "logo.svg")), "limits": limits})


def connect(server, source="127.0.0.1", buffer=None):
    """A browser's connection. `buffer` is how many bytes the kernel buffers for it."""
    connection = socket.socket()
    if buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.bind((source, 0))
    connection.connect(("127.0.0.1", Visitor(server).to_port))
    connection.setblocking(False)
    return connection


def send(connection, content):
    with contextlib.suppress(OSError):
        connection.send(content)


def nothing(server, connection, invite, second):
    """Connects and sends nothing."""


def half_a_head(server, connection, invite, second):
    """Sends a request's head, a byte a second."""
    send(connection, f"GET {Visitor(server).path(invite)} HTTP/1.1\r\nHost: x\r\n".encode()[second:second + 1])


def half_a_body(server, connection, invite, second):
    """Announces a form, and sends it a byte a second."""
    head = f"POST {Visitor(server).path(invite, 'register')} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"
    send(connection, b"x" if second else head.encode())


def no_answer(server, connection, invite, second):
    """Asks for the logo again and again, and reads nothing."""
    if second == 0:
        send(connection, b"GET /logo HTTP/1.1\r\nHost: x\r\n\r\n" * PIPELINED)


KINDS = [nothing, half_a_head, half_a_body, no_answer]


@pytest.mark.parametrize("behaves, number, again", [
    (nothing, IDLE, True), *[(behaves, SLOW, False) for behaves in KINDS[1:]]])
@pytest.mark.seconds(300)
async def test_they_are_cut_off_and_leave_nothing(server, behaves, number, again):
    invite = generate(server)
    await honest_guests(server, "first")
    before, after = Holdings.of(server.daemon.pid), []
    for flood in range(MOST_FLOODS if again else 1):
        connections = [connect(server, f"127.0.{flood + 1}.{1 + place % 250}", buffer=4096) for place in range(number)]
        slow = asyncio.create_task(go_on(behaves, server, connections, invite))
        # A busy machine needs time to accept all of them, and the first are cut off meanwhile.
        await eventually(lambda: Holdings.of(server.daemon.pid).files >= len(connections) / 2, "they are connected")
        await honest_guests(server, f"during-{flood}")
        await eventually(lambda: Holdings.of(server.daemon.pid).files <= before.files + 2, "all are cut off",
                         CUT_OFF_WITHIN)
        slow.cancel()
        for connection in connections:
            connection.close()
        after.append(Holdings.of(server.daemon.pid))
        if len(after) >= FLOODS and after[-1].memory - after[-2].memory < MOST_GROWTH:
            break
    print(before, *after, sep="\n")
    assert not again or after[-1].memory - after[-2].memory < MOST_GROWTH
    await honest_guests(server, "last")
    await eventually(lambda: Holdings.of(server.daemon.pid).threads <= before.threads, "idle threads end")


async def test_pages_asked_for_by_the_thousand_hold_up_no_client(server):
    invite = generate(server)
    wanted = f"GET {Visitor(server).path(invite)} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * PAGES
    connections = [connect(server, f"127.0.0.{10 + number}") for number in range(SLOW)]
    for connection in connections:
        send(connection, wanted)
    await asyncio.sleep(0.5)
    async with await server.login("alice") as alice:
        await register(server, "carol", await new_invite(alice))
    for connection in connections:
        connection.close()


async def test_a_form_that_comes_too_late_is_refused(server):
    visitor, invite = Visitor(server), generate(server)
    form = await visitor.filled_in(invite, "carol")
    head = (f"POST {visitor.path(invite, 'register')} HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n"
            f"Cookie: {FORM_COOKIE}={form['form']}\r\n\r\n")
    answer = parse(await visitor.send(head.encode() + b"username=carol"), "POST")
    assert (answer.status, answer.heading) == (408, text("failed"))
    assert not await has_account(server, "carol")


async def test_the_daemon_still_stops(server):
    invite = generate(server)
    connections = {behaves: [connect(server, buffer=4096) for _ in range(SLOW)] for behaves in KINDS}
    slow = [asyncio.create_task(go_on(behaves, server, of, invite)) for behaves, of in connections.items()]
    await asyncio.sleep(2)
    assert await asyncio.to_thread(server.daemon.stop) == 0
    for task in slow:
        task.cancel()
    for connection in sum(connections.values(), []):
        connection.close()


async def go_on(behaves, server, connections, invite):
    """Each connection does what its kind does, a step a second."""
    for second in range(600):
        for connection in connections:
            behaves(server, connection, invite, second)
        await asyncio.sleep(1)


async def honest_guests(server, name):
    """A browser and a client are served at once."""
    async with await server.login("alice") as alice:
        invites = [await new_invite(alice) for _ in range(2)]
    visitor = Visitor(server, "127.0.0.9")
    assert (await visitor.get(visitor.path(invites[0]))).status == 200
    assert (await visitor.register(invites[0], f"browser-{name}")).status == 200
    await register(server, f"client-{name}", invites[1], password=password_of(name))
    await used(server, invites[1])
