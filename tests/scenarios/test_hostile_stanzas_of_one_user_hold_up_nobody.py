"""A user floods the component, or the server's commands, with stanzas that are too deep, too large,
malformed or just many. Other users are answered meanwhile, the daemon's stream stays up, and its
memory barely grows."""

import asyncio
import itertools
import re

import pytest

from harness.stories import CREATE_ACCOUNT, NEW_INVITE, eventually, new_invite
from harness.torture import UNLIMITED
from harness.watch import Watch
from harness.xmpp import ADHOC, DISCO_INFO, PING

ADDRESSES = ("invite.example.org", "example.org")
MOST_GROWTH = 8 * 1024  # kB, at any moment
MOST_CONNECTIONS = 16  # to PostgreSQL
NO_LIMITS = 'c2s_stanza_size_limit = 10000000; limits = { c2s = { rate = "1gb/s" } }'  # Prosody's would stop the flood
SHORT = 4000  # of a longer stanza, newer XML parsers may see half, and then wait for much more
COMMAND = f"<command xmlns='{ADHOC}' node='{NEW_INVITE}'"

ids = itertools.count()


def iq(to, payload, type="set"):
    return f"<iq type='{type}' id='hostile-{next(ids)}' to='{to}'>{payload}</iq>"


def deep(to):
    for payload in (COMMAND, f"<query xmlns='{DISCO_INFO}'", "<any xmlns='urn:example'"):
        name = payload[1:].split()[0]
        yield iq(to, f"{payload}>{'<a>' * 5000}{'</a>' * 5000}</{name}>")


def large(to):
    yield iq(to, f"{COMMAND}>{'x' * 300_000}</command>")
    yield iq(to, f"{COMMAND} sessionid='{'x' * 300_000}'/>")
    yield iq(to, f"{COMMAND}>{'<a/>' * 75_000}</command>")
    yield f"<message to='{to}'><body>{'x' * 300_000}</body></message>"


def unknown_sessions(to):
    for number in range(2000):
        yield iq(to, f"<command xmlns='{ADHOC}' node='{CREATE_ACCOUNT}' action='complete' sessionid='{number}'/>")


def many_forms(to):
    for _ in range(1000):
        yield iq(to, f"<command xmlns='{ADHOC}' node='{CREATE_ACCOUNT}' action='execute'/>")


def odd(to):
    for payload in (
            f"{COMMAND} xml:colour='red'/>", f"{COMMAND} {'x' * 10_000}='1'/>",
            f"{COMMAND} action='&#xfffd;&#x85;&#10;'/>",
            f"<{'x' * 10_000} xmlns='urn:example'/>", f"<a xmlns='{'x' * 10_000}'/>", "<a xmlns=''/>",
            "<a xmlns='urn:example' xmlns:b='urn:b' b:c='1'/>", "<a xmlns='http://etherx.jabber.org/streams'/>",
            "<iq xmlns='jabber:component:accept'/>"):
        yield iq(to, payload)
    yield f"<iq type='get' id='{'x' * 10_000}' to='{to}'><ping xmlns='{PING}'/></iq>"
    yield f"<message to='{to}' xml:colour='red'><body/></message>"


def malformed(to):
    with_form = f"<command xmlns='{ADHOC}' node='{CREATE_ACCOUNT}'><x xmlns='jabber:x:data' type='submit'>"
    for payload in (
            "", f"<command xmlns='{ADHOC}'/>", f"<command xmlns='{ADHOC}' node=''/>", f"{COMMAND} action='dance'/>",
            f"{COMMAND} action='prev'/>", f"{COMMAND} sessionid=''/>", f"{COMMAND}/>{COMMAND}/>",
            f"<command xmlns='urn:example' node='{NEW_INVITE}'/>", f"<wrong xmlns='{ADHOC}' node='{NEW_INVITE}'/>",
            f"<command xmlns='{ADHOC}' node='urn:xmpp:invite#nonsense'/>",
            f"{with_form}<field/><field var='uses'/></x></command>",
            f"{with_form}<field var='uses'><value>-1</value></field></x></command>",
            f"{with_form}<x xmlns='jabber:x:data' type='submit'/></x></command>",
            "<any xmlns='urn:example'/>", "<gate xmlns='urn:easy-invite:gate:1'/>"):
        yield iq(to, payload)
        yield iq(to, payload, "get")
        yield iq(to + "/resource", payload)
        yield iq("nobody@" + to, payload)
    yield f"<iq type='result' id='gate-1' to='{to}'/>"
    yield f"<iq type='error' id='gate-1' to='{to}'/>"
    yield f"<message to='{to}' type='error'/>"


def presence(to):
    for type in ("subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "unavailable", "error", "nonsense"):
        for content in ("", "<a/>" * 1000, "<preauth xmlns='urn:xmpp:pars:0' token='" + "x" * 10_000 + "'/>"):
            for recipient in (to, to + "/resource", "somebody@" + to):
                yield f"<presence type='{type}' to='{recipient}'>{content}</presence>"


@pytest.mark.seconds(120)
@pytest.mark.parametrize("hostile", [deep, large, odd, unknown_sessions, many_forms, malformed, presence])
async def test_others_are_served(make_server, hostile):
    server = make_server(global_lines=NO_LIMITS, settings=UNLIMITED)
    mallory, alice = await server.login("admin"), await server.login("alice")
    stanzas = [stanza for address in ADDRESSES for stanza in hostile(address)]
    answered = asyncio.Event()
    with Watch(server) as watch:
        async with asyncio.TaskGroup() as group:
            group.create_task(make_invites_until(answered, alice))
            for stanza in stanzas:
                mallory.send(stanza)
                if len(stanza) > SHORT:
                    mallory.send(" " * 2 * len(stanza))
            asked = set(re.findall("id='(hostile-[0-9]+)'", "".join(stanzas)))
            await eventually(lambda: asked <= {stanza.get("id") for stanza in mallory.inbox}, "each is answered", 240)
            answered.set()
    watch.assert_bounded(growth=MOST_GROWTH, files=MOST_CONNECTIONS, open_uses=0)
    assert server.daemon.logins == 1
    await new_invite(alice)


async def make_invites_until(end, user):
    """Makes invites one after the other. One that is not answered fails."""
    while not end.is_set():
        await new_invite(user)
