"""Some chat clients run no commands, and some have a button alone. All can write to the service:
their users make invites, see them, renew them and take them back, and an old link registers
nobody."""

import re

import pytest

from harness.dino import Dino
from harness.gajim import Gajim
from harness.profanity import Profanity
from harness.server import Server
from harness.stories import Invite, has_account, registers, show

SERVICE = "invite.example.org"


@pytest.mark.seconds(120)
async def test_gajim(make_server, tmp_path):
    server = make_server()
    with Gajim(server, tmp_path, "alice", SERVICE) as gajim:
        await manages_an_invite(server, gajim.ask)


@pytest.mark.seconds(120)
async def test_dino(make_server, tmp_path):
    server = make_server(tls=True)
    with Dino(server, tmp_path, "alice", SERVICE) as dino:
        await manages_an_invite(server, dino.ask)


async def test_profanity(make_server, tmp_path):
    server = make_server(tls=True)
    with Profanity(server, tmp_path) as profanity:
        await profanity.log_in("alice")
        profanity.type(f"/msg {SERVICE}")

        async def ask(text: str, pattern: str) -> re.Match:
            """What stands on the screen below the question."""
            profanity.type("/clear")
            profanity.type(text)
            return await profanity.read(rf"me: {re.escape(text)}\n(?s:.*){pattern}")

        await manages_an_invite(server, ask)


async def manages_an_invite(server: Server, ask) -> None:
    """What a user does with an invite, from help to the end of it."""
    await ask("help", "Write “invite” for a new invitation")
    made = await ask("invite Carol", r"Good for one person(?s:.*)(xmpp:\S+)")
    first = Invite(made.group(1))
    assert show(server, first)["note"] == "Carol"
    number = (await ask("list", r"(\d+)\. Carol · 0 of 1 used")).group(1)
    await ask(f"show {number}", r"State: pending(?s:.*)Carol")
    renewed = Invite((await ask(f"Renew #{number}!", r"(xmpp:\S+)")).group(1))
    assert renewed.token != first.token
    assert not await registers(server, "carol", first)
    assert not await has_account(server, "carol")
    await ask(f"revoke {number}", "“Carol” has been revoked")
    assert not await registers(server, "carol", renewed)
    await ask(f"show {number}", "State: revoked")
