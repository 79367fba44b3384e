"""Somebody sends hundreds of messages a second, to a server that does not limit them itself. They get
few answers, and everybody else is served meanwhile."""

import asyncio
import itertools
import time

from harness.prosody import USUAL_MODULES
from harness.stories import new_invite, write

SERVICE = "invite.example.org"
ROUNDS = 300  # of four messages, and more until bob has been served
SERVED = 3
MOST_A_MINUTE = 50  # answers


async def test_a_flood_of_messages(make_server):
    server = make_server(modules=[module for module in USUAL_MODULES if module != "limits"])
    async with await server.login("alice") as alice, await server.login("bob") as bob:
        served, began = 0, time.monotonic()

        async def flood():
            for number in itertools.count():
                if number >= ROUNDS and served >= SERVED:
                    return number
                for body in ("list", "help", f"nonsense {number}", "show " + "9" * 5000):
                    alice.send(f"<message type='chat' to='{SERVICE}'><body>{body}</body></message>")
                await asyncio.sleep(0.01)

        flooding = asyncio.create_task(flood())
        while not flooding.done():
            await new_invite(bob, SERVICE)
            served += 1
            await asyncio.sleep(0.2)  # far below the number of invites that bob may make
        rounds = await flooding
        await new_invite(bob, SERVICE)
        await alice.ask("get", "<ping xmlns='urn:xmpp:ping'/>", SERVICE)
        answers = [stanza for stanza in alice.inbox if stanza.get("from") == SERVICE]
        print(f"{len(answers)} answers to {4 * rounds} messages; {served} invites meanwhile")
        assert 0 < len(answers) < MOST_A_MINUTE * (1 + (time.monotonic() - began) // 60)
        assert "“invite”" in await write(bob, "help")
