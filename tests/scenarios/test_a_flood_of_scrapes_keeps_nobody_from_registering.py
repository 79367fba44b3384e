"""A client that asks for the metrics far too often holds up nobody, and takes no memory."""

import asyncio
from urllib.parse import urlsplit

import pytest

from harness.process import PATIENCE, Holdings
from harness.prometheus import address, metrics_settings, shown
from harness.stories import eventually, generate, register

CONNECTIONS = 50
SCRAPES = 2000  # on all of them, at least
IDLE = 200  # more connections, which ask nothing
PEOPLE = 5
MORE_KIB = 8 * 1024

pytestmark = pytest.mark.one_setup


@pytest.fixture
def server(make_server):
    return make_server(settings=metrics_settings())


async def test_people_register_meanwhile(server):
    invites = [generate(server) for _ in range(PEOPLE)]
    for_metrics = urlsplit(address(server, "/metrics"))
    warm, flooding = Flood(for_metrics), Flood(for_metrics)
    async with warm:
        await eventually(lambda: warm.answered > 100, "the first scrapes are answered")
    before = Holdings.of(server.daemon.pid)
    async with flooding:
        for number, invite in enumerate(invites):
            await register(server, f"guest{number}", invite)
        await eventually(lambda: flooding.answered > SCRAPES, "the scrapes are answered", seconds=180)
    after = Holdings.of(server.daemon.pid)
    assert after.peak - before.peak < MORE_KIB and after.threads <= before.threads + 1, (before, after)


async def test_connections_that_ask_nothing_are_ended(server):
    port = urlsplit(address(server, "/metrics")).port
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(IDLE)]
    files = Holdings.of(server.daemon.pid).files
    assert files < IDLE, "most of them wait outside"
    ended = await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in idle[:10])), PATIENCE)
    assert len(ended) == 10
    for _, writer in idle:
        writer.close()
    assert await asyncio.to_thread(shown, server)


class Flood:
    """Connections that ask for the metrics again and again, within `async with`."""

    def __init__(self, address):
        self.answered = 0
        self._address = address
        self._tasks = []

    async def __aenter__(self):
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(CONNECTIONS)]

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended

    async def _ask(self):
        address = self._address
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            while True:
                writer.write(f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].split()[0])
                assert (await reader.readexactly(length)).endswith(b"\n# EOF\n")
                self.answered += 1
        finally:
            writer.close()
