"""Fixtures for the tests of Debian's package, on whole machines with Debian 12 and 13."""

from collections.abc import Iterator

import pytest

from harness.machine import SUITES, Debian
from harness.package import follow_readme


@pytest.fixture(scope="session", params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    """Each of Debian's releases in turn."""
    return request.param


@pytest.fixture
def machine(suite: str) -> Iterator[Debian]:
    """A machine with Prosody as `apt install prosody` leaves it, for one test."""
    with Debian(suite) as running:
        yield running


@pytest.fixture(scope="module")
def served(suite: str) -> Iterator[Debian]:
    """A machine on which the operator has typed the README's commands, shared by the tests of a file."""
    with Debian(suite) as running:
        follow_readme(running)
        yield running
