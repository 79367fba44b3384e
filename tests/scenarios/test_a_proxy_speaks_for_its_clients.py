"""Behind a trusted proxy, limits count the client that the proxy names in `X-Forwarded-For`.
That header from anybody else is ignored, and so is what the client wrote before the proxy added to
it. `Forwarded` is always ignored. The log names the client, for fail2ban."""

import subprocess

import pytest

from harness.daemon import REPOSITORY
from harness.stories import generate
from harness.web import Visitor, web_settings

FILTER = REPOSITORY / "contrib" / "fail2ban" / "filter.d" / "easy-invite.conf"
PROXY, SECOND_PROXY, STRANGER = "127.0.0.1", "127.0.9.2", "127.0.0.2"
MALLORY, ALICE = "203.0.113.7", "203.0.113.8"
UNKNOWN = "A" * 24
MOST = 3

pytestmark = pytest.mark.one_setup


@pytest.fixture
def server(make_server):
    settings = web_settings(trusted_proxies=[PROXY, "127.0.9.0/24"])
    return make_server(settings={**settings, "limits": {"wrong_tokens": MOST}})


def said(client, how):
    """The headers of a proxy that asks for this client."""
    return {"plain": {"X-Forwarded-For": client},
            "after the client's own header": {"X-Forwarded-For": f"{ALICE}, {client}"},
            "after bytes that are no text": {"X-Forwarded-For": f"\xff, {client}"},
            "through another proxy": {"X-Forwarded-For": f"{client}, {SECOND_PROXY}"},
            "beside the client's own header": {"X-Forwarded-For": client, "Forwarded": f"for={ALICE}"}}[how]


@pytest.mark.parametrize("how", ["plain", "after the client's own header", "after bytes that are no text",
                                 "through another proxy", "beside the client's own header"])
async def test_it_is_the_client_who_is_refused(server, how):
    invite = generate(server)
    await guess(server, PROXY, said(MALLORY, how))
    visitor = Visitor(server, PROXY)
    for source, headers, status in [(PROXY, said(MALLORY, how), 429), (SECOND_PROXY, said(MALLORY, "plain"), 429),
                                    (PROXY, said(ALICE, "plain"), 200), (PROXY, {}, 200),
                                    (STRANGER, said(MALLORY, how), 200)]:
        visitor.source = source
        assert (await visitor.get(visitor.path(invite), headers)).status == status, (source, headers)
    assert refusals_in(server.daemon.log) == [f"too many unknown invitations from {MALLORY}: refused for 10 minutes"]
    found = subprocess.run(["fail2ban-regex", "--out", "ip", server.daemon.log_file, FILTER],
                           check=True, capture_output=True, text=True)
    assert found.stdout.split() == [MALLORY]


async def test_nobody_else_is_believed(server):
    invite = generate(server)
    for number in range(MOST):
        address = f"198.51.100.{number}"
        await guess(server, STRANGER, {"X-Forwarded-For": address, "Forwarded": f"for={address}"}, 1)
    visitor = Visitor(server, STRANGER)
    for headers in ({}, said(ALICE, "plain"), {"Forwarded": f"for={ALICE}"}):
        assert (await visitor.get(visitor.path(invite), headers)).status == 429
    assert refusals_in(server.daemon.log) == [f"too many unknown invitations from {STRANGER}: refused for 10 minutes"]
    visitor.source = PROXY
    assert (await visitor.get(visitor.path(invite), said(ALICE, "plain"))).status == 200


async def test_networks_of_ipv6_are_refused_as_a_whole(server):
    invite = generate(server)
    for number in range(MOST):
        await guess(server, PROXY, {"X-Forwarded-For": f"2001:db8:1:2::{number}"}, 1)
    visitor = Visitor(server, PROXY)
    for address, status in [("2001:db8:1:2:ffff::1", 429), ("2001:db8:1:3::1", 200)]:
        assert (await visitor.get(visitor.path(invite), {"X-Forwarded-For": f"[{address}]:4711"})).status == status
    network = "2001:db8:1:2::/64"
    assert refusals_in(server.daemon.log) == [f"too many unknown invitations from {network}: refused for 10 minutes"]


async def test_unreadable_headers_harm_nobody(server):
    invite, visitor = generate(server), Visitor(server, PROXY)
    many = ", ".join([ALICE] * 1000)
    for value in ("", ",", "unknown", "_hidden", "1.2.3", "x" * 10_000, many, "\xff\xfe", '"', "for=", "[::1"):
        assert (await visitor.get(visitor.path(invite), {"X-Forwarded-For": value})).status == 200, value


async def test_prosody_is_told_of_the_client(make_server):
    """Prosody's own limits apply to registrations in a browser as well."""
    server = make_server(settings=web_settings(), global_lines="min_seconds_between_registrations = 3600")
    visitor = Visitor(server, PROXY)
    for username, client, status in [("carol", MALLORY, 200), ("dave", MALLORY, 429), ("erin", ALICE, 200)]:
        visitor.headers = said(client, "plain")
        answer = await visitor.register(generate(server), username)
        assert answer.status == status, answer.text


async def guess(server, source, headers, times=MOST):
    """Opens unknown links."""
    visitor = Visitor(server, source)
    for _ in range(times):
        assert (await visitor.get(visitor.path(UNKNOWN), headers)).status in (404, 429)


def refusals_in(log):
    return [line.partition("WARN ")[2] for line in log.splitlines() if "too many unknown invitations" in line]
