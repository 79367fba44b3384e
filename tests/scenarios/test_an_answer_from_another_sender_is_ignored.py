"""A forged answer to a question of the gate, with the right id but from another sender, is ignored
by the hook and by the daemon."""

import asyncio

import pytest

from harness.gate import GATE, component
from harness.prosody import COMPONENT_SECRET
from harness.stories import eventually, generate, has_account, leave_open, show, uses_taken
from harness.xmpp import PING, StanzaError, children

SILENT = "silent.example.org"  # a component of the test, which the daemon takes for a VirtualHost with a hook
COMPONENTS = {jid: COMPONENT_SECRET for jid in ("invite.example.org", "rogue.example.org", SILENT)}


async def test_the_hook_waits_for_the_daemons_answer(make_server):
    server = make_server(run_daemon=False, components=COMPONENTS)
    daemon, rogue, alice = (await component(server, "invite.example.org"), await component(server, "rogue.example.org"),
                            await server.login("alice"))
    stream = await server.connect()
    registration = asyncio.create_task(stream.registration_set("carol", "carol's password"))
    question = await daemon.expect(lambda stanza: children(stanza, "reserve"), what="the hook's question")
    await answer_as_others(question, [rogue, alice], f"<reserved xmlns='{GATE}' purpose='register'/>")
    daemon.reply_error(question, "modify", "not-acceptable", "the daemon's own answer")
    with pytest.raises(StanzaError, match="the daemon's own answer"):
        await registration
    assert not await has_account(server, "carol")


async def test_the_daemon_waits_for_the_hooks_answer(make_server):
    server = make_server(components=COMPONENTS, settings={"hosts": {SILENT: {}}})
    invite = generate(server, host=SILENT)
    server.daemon.stop()
    leave_open(server, invite, f"carol@{SILENT}", by="of the test")
    hook, rogue, alice = (await component(server, SILENT), await component(server, "rogue.example.org"),
                          await server.login("alice"))
    server.daemon.start()
    hello = await hook.expect(lambda stanza: children(stanza, "hello"), what="the daemon's greeting")
    hook.reply(hello, f"<hello xmlns='{GATE}' software='a test' server='of the test'/>")
    question = await hook.expect(lambda stanza: children(stanza, "settle"), what="the daemon's question")
    await answer_as_others(question, [rogue, alice], f"<fate xmlns='{GATE}' is='made'/>")
    hook.reply(question, f"<fate xmlns='{GATE}' is='not-made'/>")
    await eventually(lambda: uses_taken(server, invite) == 0, "the use is free again")
    assert show(server, invite)["uses"] == 0


async def answer_as_others(question, others, payload):
    """The others answer the question. Returns when their answers have arrived."""
    asking = question.get("from")
    for other in others:
        other.send(f"<iq type='result' id='{question.get('id')}' from='{other.jid}' to='{asking}'>{payload}</iq>")
        await other.send_iq("get", f"<ping xmlns='{PING}'/>", asking)

