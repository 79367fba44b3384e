"""Web clients reach Prosody by BOSH, through a proxy. If it does not name its client, or names it
in a way that cannot be read, limits count all such clients as one. They never count the proxy's
address, and fail2ban does not see it. The same holds for connections that a proxy passes on
unchanged, such as plain XMPP streams. Clients that the proxy names, and clients without a proxy,
are not affected."""

import asyncio
import http.client
import subprocess
from xml.etree import ElementTree

import pytest

from harness.daemon import REPOSITORY
from harness.process import PATIENCE
from harness.prosody import INVITE_HOST
from harness.stories import generate, register
from harness.xmpp import StanzaError

FILTER = REPOSITORY / "contrib" / "fail2ban" / "filter.d" / "easy-invite.conf"
PROXY, CLIENT, OTHER = "127.0.0.1", "203.0.113.7", "203.0.113.8"
DIRECT = "127.0.0.2"
UNKNOWN = "A" * 24
MOST = 3
BAD = "item-not-found"
REFUSED = "policy-violation"


@pytest.fixture
def server(make_server):
    return make_server(settings={"limits": {"wrong_tokens": MOST}}, http=True)


@pytest.mark.parametrize("header, address", [
    (None, "unknown addresses"), ("", "unknown addresses"), (PROXY, "unknown addresses"),
    (f"{CLIENT}, {PROXY}", CLIENT), (CLIENT, CLIENT), (f"{OTHER}, {CLIENT}", CLIENT)], ids=str)
async def test_whatever_it_says(server, header, address):
    invite = generate(server)
    for _ in range(MOST):
        assert await presented(server, UNKNOWN, header) in (BAD, REFUSED)
    assert await presented(server, invite.token, header) == REFUSED
    assert await presented(server, invite.token, OTHER) is None
    assert_told(server, address)
    await register(server, "carol", invite, source=DIRECT)


@pytest.mark.parametrize("setting", [None, '{ "127.0.7.1" }', '{ "127.0.7.0/24" }'], ids=["default", "one", "network"])
async def test_a_proxy_for_plain_streams(make_server, setting):
    server = make_server(settings={"limits": {"wrong_tokens": MOST}}, hosts={
        "example.org": INVITE_HOST + (f"    trusted_proxies = {setting}\n" if setting else "")})
    proxy, invite = "127.0.7.1" if setting else PROXY, generate(server)
    for _ in range(MOST):
        with pytest.raises(StanzaError):
            await (await server.connect(source=proxy)).preauth(UNKNOWN)
    with pytest.raises(StanzaError, match=REFUSED):
        await (await server.connect(source=proxy)).preauth(invite.token)
    assert_told(server, "unknown addresses")
    await register(server, "carol", invite, source=DIRECT)


def assert_told(server, address):
    """The log has one line about an address. fail2ban reads it if it is a client's."""
    told = [line.partition("WARN ")[2] for line in server.daemon.log.splitlines() if "too many unknown" in line]
    assert len(told) == 1 and told[0].startswith(f"too many unknown invitations from {address}: refused"), told
    found = subprocess.run(["fail2ban-regex", "--out", "ip", server.daemon.log_file, FILTER],
                           check=True, capture_output=True, text=True)
    assert found.stdout.split() == ([address] if address == CLIENT else [])


async def presented(server, token, header):
    """The condition of the error when a web client presents a token through a proxy on this
    machine, or None if there is no error."""
    said = await asyncio.to_thread(by_bosh, server, header,
                                   f"<iq xmlns='jabber:client' type='set' id='p'>"
                                   f"<preauth xmlns='urn:xmpp:pars:0' token='{token}'/></iq>")
    answer = next(element for element in said.iter("{jabber:client}iq") if element.get("id") == "p")
    return next((condition.tag.partition("}")[2] for condition in answer.iterfind("{*}error/*")), None)


def by_bosh(server, header, stanza):
    """Sends a stanza in a session of its own (XEP-0124). Returns the body with the answer."""
    proxy = http.client.HTTPConnection("127.0.0.1", server.prosody.http_port, timeout=PATIENCE)
    headers = {"Content-Type": "text/xml", **({} if header is None else {"X-Forwarded-For": header})}

    def send(attributes, payload=""):
        body = f"<body xmlns='http://jabber.org/protocol/httpbind' {attributes}>{payload}</body>"
        proxy.request("POST", "/http-bind", body, headers)
        return ElementTree.fromstring(proxy.getresponse().read())

    begun = send("rid='1' to='example.org' wait='5' hold='1' ver='1.6' xml:lang='en'")
    return send(f"rid='2' sid='{begun.get('sid')}'", stanza)
