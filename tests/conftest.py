"""Fixtures for the scenarios: a server of each Prosody version, and tests that are coroutines.

What a test needs and is not there (Prosody, the built daemon, root) makes it fail, never be skipped.
"""

import asyncio
import inspect
import subprocess
from collections.abc import Callable, Iterator

import pytest

from harness import xmpp
from harness.prosody import VERSIONS
from harness.server import Server

TEST_SECONDS = 60
LOG_LINES_SHOWN = 80

_servers: list[Server] = []


@pytest.fixture(scope="session", params=VERSIONS, ids=[f"prosody-{version}" for version in VERSIONS])
def prosody_version(request: pytest.FixtureRequest) -> str:
    """Each Prosody version in turn."""
    return request.param


@pytest.fixture(scope="module")
def server(prosody_version: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running Prosody with mod_easy_invite and a running daemon, shared by the tests of a file."""
    with Server(prosody_version, tmp_path_factory.mktemp("server")) as running:
        _servers.append(running)
        yield running
        _servers.remove(running)


@pytest.fixture
def make_server(prosody_version: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """A function that starts a server for this test alone; it takes `Server`'s options."""
    started: list[Server] = []

    def make(**options: object) -> Server:
        made = Server(prosody_version, tmp_path_factory.mktemp("server"), **options)
        started.append(made)
        _servers.append(made)
        made.start()
        return made

    yield make
    for made in reversed(started):
        _servers.remove(made)
        made.kill()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs tests that are coroutines, each in an event loop of its own, and closes the streams they left open."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def run() -> None:
        try:
            await asyncio.wait_for(pyfuncitem.obj(**arguments), TEST_SECONDS)
        finally:
            await xmpp.close_all()

    asyncio.run(run())
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """Adds the ends of the servers' logs to a failure's report."""
    report = yield
    if report.failed:
        for running in _servers:
            for program in (running.prosody, running.daemon):
                end = "\n".join(program.log.splitlines()[-LOG_LINES_SHOWN:])
                report.sections.append((f"end of {program.log_file}", end))
    return report


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
