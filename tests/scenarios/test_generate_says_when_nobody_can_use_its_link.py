"""`easy-invite generate` prints a link in any case. Where the running daemon knows that nobody can use
it, because the host has no module or is not served, one line on stderr says so, and what to do."""

import pytest

from harness.prosody import INVITE_HOST
from harness.server import Server

HOSTS = {"example.org": INVITE_HOST, "bare.example": "", "two.example": INVITE_HOST + """\
    easy_invite_component = "invite.example.org"
"""}


@pytest.fixture(scope="module")
def server(prosody_version, tmp_path_factory):
    with Server(prosody_version, tmp_path_factory.mktemp("server"), hosts=HOSTS,
                settings={"hosts": {"unknown.example": {}}}) as running:
        yield running


def said(server, *command: str) -> str:
    """What is said on stderr beside the link."""
    done = server.daemon.cli(*command)
    assert done.returncode == 0 and ";preauth=" in done.stdout, done.stdout + done.stderr
    assert done.stderr.count("\n") <= 1, done.stderr
    return done.stderr


def assert_warned(text: str, host: str, *words: str) -> None:
    for word in (f"easy-invite: warning: nobody can use an invite of {host} at present: ", *words, "easy-invite check"):
        assert word in text, text


def test_the_link_is_good(server):
    for host in ("example.org", "two.example"):
        assert said(server, "generate", host) == ""


@pytest.mark.parametrize("options", [[], ["--count", "3"], ["--username", "carol"], ["--reset", "carol"]])
def test_the_host_has_no_module(server, options):
    assert_warned(said(server, "generate", "bare.example", *options), "bare.example",
                  'add "easy_invite" to its modules_enabled')


def test_a_new_link_for_an_invite_of_such_a_host(server):
    made = server.daemon.cli("generate", "bare.example")
    assert_warned(said(server, "regenerate", made.stdout.splitlines()[0]), "bare.example", "easy_invite")


def test_prosodys_configuration_shows_why_it_has_no_module(server):
    server.daemon.environment["PROSODY_CONFIG"] = str(server.prosody.config_file)
    assert_warned(said(server, "generate", "bare.example"), "bare.example", 'VirtualHost "bare.example" in',
                  "does not enable it")
    del server.daemon.environment["PROSODY_CONFIG"]


def test_prosody_does_not_have_the_host(server):
    assert_warned(said(server, "generate", "unknown.example"), "unknown.example", "is not a VirtualHost")


def test_the_running_daemon_does_not_serve_the_host_yet(server):
    hosts = server.daemon.config["hosts"]
    two = hosts.pop("two.example")
    server.daemon.write_config()
    server.daemon.reload()
    hosts["two.example"] = two
    server.daemon.write_config()
    assert_warned(said(server, "generate", "two.example"), "two.example", "does not serve two.example yet",
                  "systemctl reload easy-invite")
    server.daemon.reload()
    assert said(server, "generate", "two.example") == ""


def test_while_prosody_is_away_links_wait_for_it(server):
    server.prosody.stop()
    assert said(server, "generate", "example.org") == ""
    server.prosody.start()


def test_without_the_daemon_nobody_knows(server):
    server.daemon.stop()
    for host in HOSTS:
        assert said(server, "generate", host) == ""
    server.daemon.start()
