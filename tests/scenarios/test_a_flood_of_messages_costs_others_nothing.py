"""Somebody sends hundreds of messages a second, to a server that does not limit them itself. They get
few answers, and everybody else is served meanwhile."""

import asyncio
import time

from harness.prosody import USUAL_MODULES
from harness.stories import new_invite, write

SERVICE = "invite.example.org"


async def test_a_flood_of_messages(make_server):
    server = make_server(modules=[module for module in USUAL_MODULES if module != "limits"])
    async with await server.login("alice") as alice, await server.login("bob") as bob:
        async def flood():
            for number in range(300):
                for body in ("list", "help", f"nonsense {number}", "show " + "9" * 5000):
                    alice.send(f"<message type='chat' to='{SERVICE}'><body>{body}</body></message>")
                await asyncio.sleep(0.01)

        flooding = asyncio.create_task(flood())
        took = []
        while not flooding.done():
            began = time.monotonic()
            await new_invite(bob, SERVICE)
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.2)  # far below the number of invites that bob may make
        await flooding
        await new_invite(bob, SERVICE)
        await alice.ask("get", "<ping xmlns='urn:xmpp:ping'/>", SERVICE)
        answers = [stanza for stanza in alice.inbox if stanza.get("from") == SERVICE]
        print(f"{len(answers)} answers to 2000 messages; New Invite took {sorted(took)[len(took) // 2] * 1000:.0f} ms")
        assert 0 < len(answers) < 50
        assert len(took) > 5
        assert "“invite”" in await write(bob, "help")
