"""The service answers messages that a user of its hosts wrote just now. Everything else gets no
answer, so that no loop goes on: receipts, copies, late messages, other servers, other components, a
program that answers every answer."""

import asyncio

import pytest

from harness.server import Server
from harness.stories import write
from harness.xmpp import Component, WaitTimeout, child

SERVICE = "invite.example.org"
SECRET = "another secret"
NOTHING = [
    "<message type='error' to='{to}'><body>help</body></message>",
    "<message type='groupchat' to='{to}'><body>help</body></message>",
    "<message type='headline' to='{to}'><body>help</body></message>",
    "<message type='chat' to='{to}'/>",
    "<message type='chat' to='{to}'><body>  </body></message>",
    "<message type='chat' to='{to}'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
    "<message type='chat' to='{to}'><received xmlns='urn:xmpp:receipts' id='x'/></message>",
    "<message type='chat' to='{to}'><displayed xmlns='urn:xmpp:chat-markers:0' id='x'/></message>",
    "<message type='chat' to='{to}'><body>help</body><delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"
    "</message>",
    "<message type='chat' to='{to}'><body>help</body><received xmlns='urn:xmpp:carbons:2'/></message>",
    "<message type='chat' to='{to}'><body>help</body><forwarded xmlns='urn:xmpp:forward:0'/></message>",
    "<message type='chat' to='{to}'><body>+1</body><reactions xmlns='urn:xmpp:reactions:0' id='x'/></message>",
    "<message type='chat' to='{to}'><body>&gt; help</body></message>",
]


@pytest.fixture(scope="module")
def server(prosody_version, store_url, tmp_path_factory):
    components = {SERVICE: "a secret that only these two know", "bot.example.org": SECRET}
    with Server(prosody_version, tmp_path_factory.mktemp("server"), store_url=store_url(),
                components=components) as running:
        yield running


async def test_nothing_is_said_to_what_nobody_wrote_just_now(server):
    async with await server.login("alice") as alice:
        for message in NOTHING:
            alice.send(message.format(to=SERVICE))
        assert "“invite”" in await write(alice, "help")
        assert [stanza for stanza in alice.inbox if stanza.get("from") == SERVICE] == []


@pytest.mark.parametrize("kind", ["chat", "normal"])
async def test_the_answer_has_the_type_and_the_thread_of_the_question(server, kind):
    async with await server.login("alice") as alice:
        alice.send(f"<message type='{kind}' to='{SERVICE}'><body>help</body><thread>t</thread></message>")
        answer = await alice.expect_stanza("message", sender=SERVICE)
        assert answer.get("type", "normal") == kind and child(answer, "thread").text == "t"
        assert child(answer, "origin-id").get("id") == answer.get("id")


async def test_what_is_encrypted_is_told_once_an_hour(server):
    omemo = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>AAAA</payload></encrypted>"
    async with await server.login("bob") as bob:
        assert "encryption" in await write(bob, "I sent you an OMEMO encrypted message", omemo)
        for more in (omemo, omemo.replace("eu.siacs.conversations.axolotl", "urn:xmpp:omemo:2")):
            bob.send(f"<message type='chat' to='{SERVICE}'><body>OMEMO</body>{more}</message>")
        bob.send(f"<message type='chat' to='{SERVICE}/desk'><body>help</body></message>")
        bob.send(f"<message type='chat' to='{SERVICE}'><body>?OTRv23?</body></message>")
        assert "“invite”" in await write(bob, "help")
        assert [stanza for stanza in bob.inbox if stanza.get("from") == SERVICE] == []


async def test_another_component_gets_no_answer(server):
    async with await Component.connect("127.0.0.1", server.prosody.component_port, "bot.example.org", SECRET) as bot:
        for sender in ("bot.example.org", "alice@bot.example.org/x"):
            bot.send(f"<message type='chat' from='{sender}' to='{SERVICE}' id='x'><body>help</body></message>")
        await bot.ask("get", "<ping xmlns='urn:xmpp:ping'/>", SERVICE, sender="bot.example.org")
        assert [stanza for stanza in bot.inbox if stanza.get("from") == SERVICE] == []


@pytest.mark.parametrize("say", [lambda heard: heard, lambda heard: "> " + heard + "\nI do not understand.",
                                 lambda heard: "list"], ids=["an echo", "a robot", "a fan"])
async def test_a_loop_through_a_program_of_a_user_ends(make_server, say):
    server = make_server()
    async with await server.login("alice") as alice:
        heard, answers = await write(alice, "help"), 1
        try:
            while True:
                heard = await asyncio.wait_for(write(alice, say(heard)), 2)
                answers += 1
        except (WaitTimeout, TimeoutError):
            assert answers < 50
