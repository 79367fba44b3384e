"""`easy-invite generate` beside a running server knows its accounts. It refuses impossible invites
with one line and exit code 1, and values that no invite can have as wrong usage, with exit code 2.
It warns about accounts that it cannot look up."""

import pytest

from harness.stories import generate

pytestmark = pytest.mark.one_setup


@pytest.mark.parametrize("arguments, words", [
    (["example.org", "--username", "alice"], "already exists"),
    (["example.org", "--username", "ALICE"], "already exists"),
    (["example.org", "--username", "reserved"], "reserved"),
    (["example.org", "--username", "al ice"], "al ice"),
    (["example.org", "--reset", "ghost"], "ghost@example.org has no account"),
    (["example.org", "--contact", "ghost@example.org"], "ghost@example.org has no account"),
    (["example.org", "--contact", "alice@example.net"], "example.org"),
    (["example.net"], "example.net"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_one_line(server, arguments, words):
    if "reserved" in arguments and "reserved" not in listed(server):
        generate(server, "--username", "reserved")
    before = listed(server)
    done = server.daemon.cli("generate", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert words in done.stderr
    assert listed(server) == before


@pytest.mark.parametrize("option, value", [("--expires", "tomorrow"), ("--uses", "0")])
def test_wrong_usage(server, option, value):
    before = listed(server)
    done = server.daemon.cli("generate", "example.org", option, value)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("error: ") and value in done.stderr
    assert listed(server) == before


def test_without_the_daemon_it_warns(make_server):
    server = make_server(run_daemon=False)
    done = server.daemon.cli("generate", "example.org", "--username", "alice")
    assert done.returncode == 0 and "xmpp:alice@example.org?register;preauth=" in done.stdout
    assert "warning: could not check whether the accounts exist" in done.stderr


def listed(server):
    return server.daemon.cli("--json", "list", "--state", "all").stdout
