"""Fixtures for the scenarios: a server for each version of Prosody, and tests that are coroutines.

If something that a test needs is missing (Prosody, the built daemon, root), the test fails. It is
never skipped.
"""

import asyncio
import inspect
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import xmpp
from harness.disk import small
from harness.postgres import Postgres
from harness.server import Server
from harness.web import web_settings

# The version of Prosody, and the engine of the store.
SETUPS = {"prosody-0.12": ("0.12", "sqlite"), "prosody-13": ("13", "sqlite"), "prosody-13-postgres": ("13", "postgres")}

# A test runs with each Prosody and with each store. Two setups have them all, because Prosody knows
# nothing of the store, and the daemon does not care which Prosody asks. Some tests need other
# setups:
# - `one_setup`: the daemon's own work, such as pages, texts, limits and the command line. Prosody
#   makes no difference, and tests/store.rs holds both engines to the same contract.
# - `store(engine)`: something particular to that engine, such as a lock on SQLite's file.
# - `every_setup`: races and crashes. How long each part takes matters, and that depends on both.
USUAL_SETUPS = ("prosody-0.12", "prosody-13-postgres")
ONE_SETUP = "prosody-13-postgres"

TEST_SECONDS = 60
TYPICAL_SECONDS = 2  # of them, for most tests
SLOWNESS = 4  # how many times as long a test may take on a busy machine
LOG_LINES_SHOWN = 80

_servers: list[Server] = []


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marks of tests that need other setups than the usual ones, or more time."""
    config.addinivalue_line("markers", "store(engine): the test is about this engine, sqlite or postgres")
    config.addinivalue_line("markers", "one_setup: the test is about the daemon alone, so one setup will do")
    config.addinivalue_line("markers", "every_setup: the test is about races and crashes")
    config.addinivalue_line("markers", f"seconds(number): how long the test may take on a "
                            f"machine that does little else, instead of {TEST_SECONDS}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs every test that needs a server with each of its setups."""
    if "setup" in metafunc.fixturenames:
        marked = metafunc.definition.get_closest_marker
        if mark := marked("store"):
            setups = [name for name, (_, engine) in SETUPS.items() if engine == mark.args[0]][-1:]
        elif marked("one_setup"):
            setups = [ONE_SETUP]
        else:
            setups = list(SETUPS if marked("every_setup") else USUAL_SETUPS)
        metafunc.parametrize("setup", setups, indirect=True, scope="session")


@pytest.hookimpl(wrapper=True)  # xdist needs the groups early, and pytest must have found its own order
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Runs tests that share a server in one process, any other test by itself, and the longest ones
    first."""
    longest: dict[str, int] = {}
    count: Counter[str] = Counter()
    for item in items:
        if shared := _what_it_shares(item):
            item.add_marker(pytest.mark.xdist_group(shared))
        group = _group_of(item)
        mark = item.get_closest_marker("seconds")
        longest[group] = max(longest.get(group, 0), mark.args[0] if mark else 0)
        count[group] += 1
    yield
    # Of the tests that may take long, few do.
    seconds = {group: longest[group] + count[group] * TYPICAL_SECONDS for group in count}
    items.sort(key=lambda item: (-seconds[_group_of(item)], _group_of(item)))


def _group_of(item: pytest.Item) -> str:
    mark = item.get_closest_marker("xdist_group")
    return mark.args[0] if mark else item.nodeid


def _what_it_shares(item: pytest.Item) -> str | None:
    """A name for the servers that the test shares with others of its file, or None."""
    scopes = {name: definitions[-1].scope for name, definitions in item._fixtureinfo.name2fixturedefs.items()}
    if "module" not in scopes.values():
        return None
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    which = [str(value) for name, value in sorted(parameters.items()) if scopes.get(name) in ("module", "session")]
    return "-".join([item.path.stem, *which])  # without "@", after which xdist would look for the group


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
        running.kill()  # stopping would write much to a folder that is removed


@pytest.fixture
def failing_postgres(postgres: Postgres) -> Iterator[Postgres]:
    """The same, for a test that makes it fail. Afterwards it runs again, from the main thread."""
    yield postgres
    postgres.kill()
    postgres.start()


@pytest.fixture(scope="session")
def store_url(setup: tuple[str, str], request: pytest.FixtureRequest) -> Callable[[], str]:
    """A function that creates an empty store for a server, and returns its URL."""
    if setup[1] == "sqlite":
        return lambda: "sqlite:easy-invite.db"
    return request.getfixturevalue("postgres").create_database


@pytest.fixture(scope="module")
def server(prosody_version: str, store_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
           ) -> Iterator[Server]:
    """A running Prosody with mod_easy_invite and a
    running daemon, shared by the tests of a file."""
    with Server(prosody_version, tmp_path_factory.mktemp("server"), store_url=store_url()) as running:
        _servers.append(running)
        yield running
        _servers.remove(running)


@pytest.fixture(scope="module")
def web_server(prosody_version: str, store_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
               ) -> Iterator[Server]:
    """The same, with web pages and without the limits on them."""
    folder = tmp_path_factory.mktemp("server")
    settings = {**web_settings(), "limits": {limit: "unlimited" for limit in ("wrong_tokens", "pages", "forms")}}
    with Server(prosody_version, folder, store_url=store_url(), settings=settings) as running:
        _servers.append(running)
        yield running
        _servers.remove(running)


@pytest.fixture
def make_server(prosody_version: str, store_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
                ) -> Iterator[Callable[..., Server]]:
    """A function that starts a server for one test.
    It takes `Server`'s options, and another `version`."""
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
    """Runs a test that is a coroutine."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    mark = pyfuncitem.get_closest_marker("seconds")
    seconds = SLOWNESS * (mark.args[0] if mark else TEST_SECONDS)
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    xmpp.run(asyncio.wait_for(pyfuncitem.obj(**arguments), seconds))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """Adds the ends of the servers' logs to the report of a failure."""
    report = yield
    if report.failed:
        for running in _servers:
            for program in (running.prosody, running.daemon):
                end = "\n".join(program.log.splitlines()[-LOG_LINES_SHOWN:])
                report.sections.append((f"end of {program.log_file}", end))
    return report


@pytest.fixture
def disk(tmp_path):
    """A small file system for one test."""
    with small(tmp_path / "disk", "4m") as folder:
        yield folder
