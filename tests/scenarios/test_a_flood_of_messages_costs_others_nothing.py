"""Somebody sends a hundred messages a second. They get few answers, and everybody else is served
meanwhile."""

import asyncio
import time

from harness.stories import new_invite, write

SERVICE = "invite.example.org"


async def test_a_flood_of_messages(server):
    async with await server.login("alice") as alice, await server.login("bob") as bob:
        async def flood():
            for number in range(500):
                for body in ("list", "help", f"nonsense {number}", "show " + "9" * 5000):
                    alice.send(f"<message type='chat' to='{SERVICE}'><body>{body}</body></message>")
                await asyncio.sleep(0.01)

        flooding = asyncio.create_task(flood())
        took = []
        while not flooding.done():
            began = time.monotonic()
            await new_invite(bob, SERVICE)
            took.append(time.monotonic() - began)
        await flooding
        await new_invite(bob, SERVICE)
        await alice.ask("get", "<ping xmlns='urn:xmpp:ping'/>", SERVICE)
        answers = [stanza for stanza in alice.inbox if stanza.get("from") == SERVICE]
        print(f"{len(answers)} answers to 2000 messages; New Invite took {sorted(took)[len(took) // 2] * 1000:.0f} ms")
        assert 0 < len(answers) < 40
        assert len(took) > 5
        assert "“invite”" in await write(bob, "help")
