"""The hook refuses the daemon's requests from users, other components and other hosts, and changes
nothing. From the daemon's component, the same stanzas are answered."""

import pytest

from harness.gate import GATE, component
from harness.prosody import COMPONENT_SECRET, INVITE_HOST
from harness.stories import has_account
from harness.xmpp import StanzaError, child

REQUESTS = [
    ("get", f"<hello xmlns='{GATE}'/>"),
    ("get", f"<account xmlns='{GATE}' username='alice'/>"),
    ("set", f"<settle xmlns='{GATE}' reservation='forged-1' server='SERVER' purpose='contact' "
            "username='alice' contact='bob@example.org'/>"),
    ("set", f"<settle xmlns='{GATE}' reservation='forged-2' server='SERVER' purpose='register' "
            "username='bob' contact='admin@example.org'><role>prosody:admin</role></settle>"),
    ("set", f"<create xmlns='{GATE}' reservation='forged-3' server='SERVER' purpose='register' username='carol' "
            "contact='alice@example.org'><role>prosody:admin</role><password>forged</password></create>"),
    ("set", f"<create xmlns='{GATE}' reservation='forged-4' server='SERVER' purpose='reset' username='admin'>"
            "<password>forged</password></create>"),
    ("set", f"<generate xmlns='{GATE}' host='example.org'/>"),
    ("set", f"<generate xmlns='{GATE}'><word>--reset</word><word>admin</word></generate>"),
]


@pytest.fixture
def server(make_server):
    made = make_server(run_daemon=False, hosts={"example.org": INVITE_HOST, "example.net": INVITE_HOST},
                       components={jid: COMPONENT_SECRET for jid in ("invite.example.org", "rogue.example.org")})
    made.prosody.adduser("mallory@example.net", "mallory's password")
    return made


async def test_others_are_refused(server):
    daemon, alice = await component(server, "invite.example.org"), await server.login("alice")
    speakers = [alice, await server.login("admin"), await server.login("mallory", domain="example.net"),
                await component(server, "rogue.example.org")]
    id = await id_of_server(daemon)
    for speaker in speakers:
        for type, payload in REQUESTS:
            with pytest.raises(StanzaError):
                await speaker.ask(type, payload.replace("SERVER", id), "example.org")
    assert await alice.roster() == {}
    assert daemon.inbox == []  # no request was passed on to the daemon
    assert not await has_account(server, "carol", password="forged")
    assert not await has_account(server, "admin", password="forged")


async def test_the_daemon_is_answered(server):
    daemon, alice = await component(server, "invite.example.org"), await server.login("alice")
    id = await id_of_server(daemon)
    for type, payload in REQUESTS:
        if "generate" not in payload:
            await daemon.ask(type, payload.replace("SERVER", id), "example.org")
    await alice.roster_push("bob@example.org", "both")
    await alice.roster_push("carol@example.org", "both")
    assert await has_account(server, "carol", password="forged")
    assert await has_account(server, "admin", password="forged")


async def id_of_server(daemon):
    return child(await daemon.ask("get", f"<hello xmlns='{GATE}'/>", "example.org"), "hello").get("server")
