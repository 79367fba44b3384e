"""Behind a trusted proxy, limits count the client that the proxy names in `X-Forwarded-For`. That
header from anybody else is ignored, and so is what the client wrote before the proxy added to it.
`Forwarded` is always ignored. The log names the client, for fail2ban. A trusted proxy never counts
as the client: a request for which it names none counts as one from an unknown address."""

import subprocess

import pytest

from harness.daemon import REPOSITORY
from harness.stories import generate, register
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


@pytest.mark.parametrize("headers", [
    {}, {"X-Forwarded-For": ""}, {"X-Forwarded-For": "unknown"}, {"X-Forwarded-For": f"{ALICE},"},
    {"X-Forwarded-For": f"{ALICE}, \xff"}, {"X-Forwarded-For": f"{ALICE}, _hidden, {SECOND_PROXY}"},
    {"X-Forwarded-For": f"{SECOND_PROXY}, {PROXY}"}, {"Forwarded": f'for="[{ALICE}'},
    {"X-Forwarded-For": f"{ALICE}, 203.0.113.7.8"}], ids=str)
async def test_a_client_whom_no_proxy_names_is_counted_apart(server, headers):
    invite = generate(server, "--uses", "2")
    await guess(server, PROXY, headers)
    visitor = Visitor(server, PROXY)
    for source, said_of_client, status in [(PROXY, headers, 429), (SECOND_PROXY, {}, 429),
                                           (PROXY, {"X-Forwarded-For": "another, hidden"}, 429),
                                           (PROXY, said(ALICE, "plain"), 200), (STRANGER, {}, 200)]:
        visitor.source = source
        assert (await visitor.get(visitor.path(invite), said_of_client)).status == status, (source, said_of_client)
    assert refusals_in(server.daemon.log) == [
        "too many unknown invitations from unknown addresses: refused for 10 minutes. "
        "Does the proxy name them in X-Forwarded-For?"]
    found = subprocess.run(["fail2ban-regex", "--out", "ip", server.daemon.log_file, FILTER],
                           check=True, capture_output=True, text=True)
    assert found.stdout.split() == []
    await register(server, "carol", invite, source=STRANGER)  # a chat client that uses no proxy


async def test_they_register_a_limited_number_of_accounts(make_server):
    settings = {**web_settings(), "limits": {"registrations": 1}}
    server = make_server(settings=settings)
    invite, visitor = generate(server, "--uses", "unlimited"), Visitor(server, PROXY)
    for username, headers, status in [("carol", {}, 200), ("dave", {"X-Forwarded-For": "unknown"}, 429),
                                      ("erin", said(ALICE, "plain"), 200)]:
        visitor.headers = headers
        assert (await visitor.register(invite, username)).status == status, username


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


@pytest.mark.parametrize("version", ["0.12", "13"])
async def test_prosody_is_told_of_the_client(make_server, version):
    """Prosody's own limits apply to registrations in a browser as well. To these, all whose address
    nobody knows are one, and not the proxy, whom Prosody never limits."""
    limit = "min_seconds_between_registrations = 3600"
    server = make_server(version=version, settings=web_settings(), global_lines=limit)
    visitor = Visitor(server, PROXY)
    for username, client, status in [("carol", MALLORY, 200), ("dave", MALLORY, 429), ("erin", ALICE, 200),
                                     ("frank", "unknown", 200), ("grace", "", 429), ("grace", "unknown", 429)]:
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
