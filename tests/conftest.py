"""Fixtures for the scenarios: a server of each Prosody version, and tests that are coroutines.

What a test needs and is not there (Prosody, the built daemon, root) makes it fail, never be skipped.
"""

import asyncio
import inspect
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import xmpp
from harness.disk import small
from harness.postgres import Postgres
from harness.server import Server
from harness.web import web_settings

# Which Prosody, and where the invites are kept.
SETUPS = {"prosody-0.12": ("0.12", "sqlite"), "prosody-13": ("13", "sqlite"), "prosody-13-postgres": ("13", "postgres")}

# A test runs with each Prosody and with each store, and two setups have them all: Prosody knows nothing of the store, and
# what the daemon is asked for does not tell it which Prosody asks. Two kinds of tests have less to find in a second setup,
# and one has more in a third:
# - `one_setup`: it is about what the daemon does by itself, such as its pages, texts, limits and command line. Which
#   Prosody is beside it makes no difference, and tests/store.rs holds both engines to the same contract.
# - `store(engine)`: it is about that engine's own ways, such as a lock on SQLite's file.
# - `every_setup`: it is about what happens at the same moment, such as races and crashes. There, how long each part takes
#   matters, and that depends on both.
USUAL_SETUPS = ("prosody-0.12", "prosody-13-postgres")
ONE_SETUP = "prosody-13-postgres"

TEST_SECONDS = 60
TYPICAL_SECONDS = 2  # that a test takes of them
LOG_LINES_SHOWN = 80

_servers: list[Server] = []


def pytest_configure(config: pytest.Config) -> None:
    """Makes known the marks of tests that run with other setups than the usual ones, and of those that take long."""
    config.addinivalue_line("markers", "store(engine): the test is about this engine, sqlite or postgres")
    config.addinivalue_line("markers", "one_setup: the test is about the daemon alone, so one setup will do")
    config.addinivalue_line("markers", "every_setup: the test is about what happens at the same moment")
    config.addinivalue_line("markers", f"seconds(number): the test may take so long, instead of {TEST_SECONDS}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs every test that needs a server with each setup that it is about."""
    if "setup" in metafunc.fixturenames:
        marked = metafunc.definition.get_closest_marker
        if mark := marked("store"):
            about = [name for name, (_, engine) in SETUPS.items() if engine == mark.args[0]][-1:]
        elif marked("one_setup"):
            about = [ONE_SETUP]
        else:
            about = list(SETUPS if marked("every_setup") else USUAL_SETUPS)
        metafunc.parametrize("setup", about, indirect=True, scope="session")


@pytest.hookimpl(wrapper=True)  # the groups before xdist looks for them, the order after pytest has found its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Lets tests that share a server, those of a file with the same setup, run in one process; what takes long first."""
    seconds: dict[str, int] = {}
    for item in items:
        setup = item.callspec.params.get("setup") if hasattr(item, "callspec") else None
        group = f"{item.path.stem}-{setup}"  # without "@": xdist takes what comes after the last one for the group
        item.add_marker(pytest.mark.xdist_group(group))
        mark = item.get_closest_marker("seconds")
        seconds[group] = seconds.get(group, 0) + (mark.args[0] if mark else TYPICAL_SECONDS)
    yield
    groups = {item: item.get_closest_marker("xdist_group").args[0] for item in items}
    items.sort(key=lambda item: (-seconds[groups[item]], groups[item]))


@pytest.fixture(scope="session")
def setup(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Each of SETUPS in turn."""
    return SETUPS[request.param]


@pytest.fixture(scope="session")
def prosody_version(setup: tuple[str, str]) -> str:
    """The version of Prosody."""
    return setup[0]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL, shared by all tests of this process."""
    with tempfile.TemporaryDirectory() as folder:
        running = Postgres(Path(folder))
        running.start()
        yield running
        running.kill()  # it would write much to a disk that goes with the folder


@pytest.fixture(scope="session")
def store_url(setup: tuple[str, str], request: pytest.FixtureRequest) -> Callable[[], str]:
    """A function that makes an empty store for a server, and returns its URL."""
    if setup[1] == "sqlite":
        return lambda: "sqlite:easy-invite.db"
    return request.getfixturevalue("postgres").create_database


@pytest.fixture(scope="module")
def server(prosody_version: str, store_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
           ) -> Iterator[Server]:
    """A running Prosody with mod_easy_invite and a running daemon, shared by the tests of a file."""
    with Server(prosody_version, tmp_path_factory.mktemp("server"), store_url=store_url()) as running:
        _servers.append(running)
        yield running
        _servers.remove(running)


@pytest.fixture(scope="module")
def web_server(prosody_version: str, store_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
               ) -> Iterator[Server]:
    """The same, and the daemon shows web pages, to everybody as many as they want."""
    folder = tmp_path_factory.mktemp("server")
    settings = {**web_settings(), "limits": {limit: "unlimited" for limit in ("wrong_tokens", "pages", "forms")}}
    with Server(prosody_version, folder, store_url=store_url(), settings=settings) as running:
        _servers.append(running)
        yield running
        _servers.remove(running)


@pytest.fixture
def make_server(prosody_version: str, store_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
                ) -> Iterator[Callable[..., Server]]:
    """A function that starts a server for this test alone; it takes `Server`'s options, and another `version`."""
    started: list[Server] = []

    def make(*, version: str = prosody_version, **options: object) -> Server:
        options.setdefault("store_url", store_url())
        made = Server(version, tmp_path_factory.mktemp("server"), **options)
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
    mark = pyfuncitem.get_closest_marker("seconds")
    seconds = mark.args[0] if mark else TEST_SECONDS
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def run() -> None:
        try:
            await asyncio.wait_for(pyfuncitem.obj(**arguments), seconds)
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
    with small(tmp_path / "disk", "4m") as folder:
        yield folder
