"""The metrics server answers two addresses. It names no person, no token and nothing that a stranger
has sent, and has as many numbers whatever is sent."""

import urllib.error
import urllib.request

import pytest

from harness.process import PATIENCE
from harness.prometheus import address, metrics_settings, scrape, shown
from harness.stories import eventually, generate, registers
from harness.xmpp import StanzaError

pytestmark = pytest.mark.one_setup


@pytest.fixture
def server(make_server):
    return make_server(settings=metrics_settings())


async def test_a_scrape_shows_nothing_secret_and_nothing_of_a_stranger(server):
    invite = generate(server, "--username", "frank")
    await eventually(lambda: any("invites_pending" in series for series in shown(server)), "the invites are counted")
    before = shown(server)
    async with await server.connect() as stream:
        for token in ("stranger-with-a-token", "A" * 24, invite.token):
            try:
                await stream.preauth(token)
            except StanzaError:
                pass
    assert not await registers(server, "stranger", invite)
    assert not await registers(server, "stranger", None)
    text = scrape(server)
    assert shown(server).keys() == before.keys() and shown(server) != before
    assert text.endswith("\n# EOF\n")
    for secret in (invite.token, "frank", "stranger", "@", server.daemon.config["component"]["secret"]):
        assert secret not in text
    of_host = [series for series in shown(server) if 'host="example.org"' in series]
    assert 40 < len(of_host) <= 80
    descriptions = [line.split(" ", 3)[2:] for line in text.splitlines() if line.startswith("# HELP")]
    assert all(len(words.split()) > 3 for _, words in descriptions), descriptions


async def test_nothing_else_is_answered(server):
    def status(path, method="GET"):
        try:
            request = urllib.request.Request(address(server, path), method=method)
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.headers["content-type"], answer.read()
        except urllib.error.HTTPError as error:
            return error.code, None, None
    assert status("/healthz") == (200, "text/plain; charset=utf-8", b"ok")
    kind = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert status("/metrics")[:2] == (200, kind) and status("/metrics", "HEAD") == (200, kind, b"")
    for path in ("/", "/metrics/", "/metrics/x", "/healthz/..", "/i/AAAAAAAAAAAAAAAAAAAAAAAA", "/register"):
        assert status(path)[0] == 404, path
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        for path in ("/metrics", "/healthz"):
            assert status(path, method)[0] == 405, (method, path)
