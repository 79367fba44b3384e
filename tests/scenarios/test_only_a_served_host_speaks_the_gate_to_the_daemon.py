"""The daemon refuses the hook's requests from users, other components and unserved hosts, and
changes nothing. A served host is answered, about what is its own."""

import pytest

from harness.gate import GATE, component
from harness.prosody import COMPONENT_SECRET, INVITE_HOST
from harness.stories import CREATE_ACCOUNT, NEW_INVITE, generate, in_store, leave_open, register
from harness.xmpp import ADHOC, DISCO_ITEMS, StanzaError

SERVED = "hook.example.org"  # a component of the test, which the daemon takes for a VirtualHost with a hook


def requests(host, token):
    """Every request that a hook makes, as XML. The store has the reservations open-1 and open-2."""
    relay = f"<relay xmlns='{GATE}' from='admin@{host}/x'>"
    return [
        ("get", f"<check xmlns='{GATE}' token='{token}'/>"),
        ("set", f"<reserve xmlns='{GATE}' reservation='forged-1' server='forged' username='mallory' "
                f"exists='false' grant='{token}.1'/>"),
        ("set", f"<fate xmlns='{GATE}' reservation='open-1' is='made'/>"),
        ("set", f"<fate xmlns='{GATE}' reservation='open-2' is='not-made'/>"),
        ("set", f"<contact xmlns='{GATE}' reservation='forged-2' server='forged' token='{token}' "
                f"username='alice' contact='trudy@example.net'/>"),
        ("set", f"{relay}<command xmlns='{ADHOC}' node='{NEW_INVITE}' action='execute'/></relay>"),
        ("set", f"{relay}<command xmlns='{ADHOC}' node='{CREATE_ACCOUNT}' action='execute'/></relay>"),
        ("get", f"{relay}<query xmlns='{DISCO_ITEMS}' node='{ADHOC}'/></relay>"),
        ("set", f"<generate xmlns='{GATE}'/>"),
        ("set", f"<deleted xmlns='{GATE}' username='alice' deleted-at='2099-01-01T00:00:00Z'/>"),
    ]


@pytest.fixture
def server(make_server):
    made = make_server(
        hosts={"example.org": INVITE_HOST, "example.net": ""},
        components={jid: COMPONENT_SECRET for jid in ("invite.example.org", SERVED, "rogue.example.org")},
        settings={"hosts": {"example.net": None, SERVED: {"admins": [f"admin@{SERVED}"]}}, "limits": {"forms": 2}})
    made.prosody.adduser("mallory@example.net", "mallory's password")
    return made


async def test_others_are_refused(server):
    invite = generate(server, "--contact", "alice@example.org", "--uses", "unlimited")
    prepare(server, invite)
    before = contents(server)
    speakers = [await server.login("alice"), await server.login("admin"),
                await server.login("mallory", domain="example.net"), await component(server, "rogue.example.org")]
    for speaker in speakers:
        for type, payload in requests("example.org", invite.token):
            with pytest.raises(StanzaError, match="cancel/(service-unavailable|not-allowed)"):
                await speaker.ask(type, payload, "invite.example.org")
    assert contents(server) == before


async def test_a_component_cannot_pretend_to_be_the_host(server):
    invite = generate(server, "--contact", "alice@example.org", "--uses", "unlimited")
    prepare(server, invite)
    before = contents(server)
    for pretended in ("example.org", "admin@example.org"):
        for type, payload in requests("example.org", invite.token):
            rogue = await component(server, "rogue.example.org")
            rogue.send(f"<iq type='{type}' id='x' from='{pretended}' to='invite.example.org'>{payload}</iq>")
            assert "invalid-from" in await rogue.expect_end()
    assert contents(server) == before


async def test_a_served_host_has_no_say_in_what_is_another_hosts(server):
    invite = generate(server, "--contact", "alice@example.org", "--uses", "unlimited")
    prepare(server, invite)
    before = contents(server)
    hook = await component(server, SERVED)
    for type, payload in requests(SERVED, invite.token)[:5]:
        with pytest.raises(StanzaError, match="cancel/item-not-found|does not recognise this invitation"):
            await hook.ask(type, payload, "invite.example.org")
    assert contents(server) == before


async def test_nor_does_it_close_another_hosts_invite_by_reports_of_failures(server):
    invite, hook = generate(server), await component(server, SERVED)
    for number in range(5):
        await hook.ask("set", f"<refused xmlns='{GATE}' grant='{invite.token}.1' address='192.0.2.{number}'/>",
                       "invite.example.org")
    await register(server, "carol", invite)


async def test_a_served_host_is_answered(server):
    invite = generate(server, "--contact", f"alice@{SERVED}", "--uses", "unlimited", host=SERVED)
    prepare(server, invite)
    hook = await component(server, SERVED)
    hook.on_request = lambda question: hook.reply(
        question, f"<account xmlns='{GATE}' exists='true' admin='false'/>")
    for type, payload in requests(SERVED, invite.token):
        await hook.ask(type, payload, "invite.example.org")


def prepare(server, invite):
    """Leaves two registrations in progress."""
    for number in (1, 2):
        leave_open(server, invite, f"guest-{number}@example.org", reservation=f"open-{number}", seconds_ago=0)


def contents(server):
    """Everything in the store."""
    return [sorted(in_store(server, f"SELECT * FROM {table}"), key=str)
            for table in ("invite", "invite_use", "account")]
