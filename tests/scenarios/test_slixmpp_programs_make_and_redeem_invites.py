"""slixmpp is a library for bots and for poezio, a terminal client. Its own plugins run the
commands, and always submit a form with the action "next". It has no support for tokens, so these
are raw stanzas on its stream."""

import asyncio
import re

import pytest

from harness.process import PATIENCE
from harness.server import password_of
from harness.slixmpp_client import logged_in
from harness.stories import CREATE_ACCOUNT, NEW_INVITE, Invite, generate, register, show, used
from harness.web import text
from harness.xmpp import ADHOC, preauth_element

PLUGINS = ("xep_0004", "xep_0030", "xep_0050", "xep_0077")
ADDRESSES = ["example.org", "invite.example.org"]


def values_of(reply):
    return reply["command"]["form"].get_values()


@pytest.mark.parametrize("address", ADDRESSES)
async def test_new_invite(server, address):
    async with logged_in(server, "alice", PLUGINS) as alice:
        listed = await alice.plugin["xep_0050"].get_commands(jid=address)
        assert (address, NEW_INVITE, "New Invite") in listed["disco_items"]["items"]
        described = await alice.plugin["xep_0030"].get_info(jid=address, node=NEW_INVITE)
        assert ADHOC in described["disco_info"]["features"]
        reply = await alice.plugin["xep_0050"].send_command(address, NEW_INVITE)
        assert reply["command"]["status"] == "completed"
        await register(server, f"friend-by-{address}", Invite(values_of(reply)["uri"]))


async def test_a_message_when_the_invite_is_used(server):
    async with logged_in(server, "alice", PLUGINS) as alice:
        messages = asyncio.Queue()
        alice.add_event_handler("message", messages.put_nowait)
        alice.send_presence()
        reply = await alice.plugin["xep_0050"].send_command(server.component, NEW_INVITE)
        await register(server, "told-of", Invite(values_of(reply)["uri"]))
        message = await asyncio.wait_for(messages.get(), PATIENCE)
        while "told-of" not in message["body"]:  # what came while alice was offline comes first
            message = await asyncio.wait_for(messages.get(), PATIENCE)
        assert (message["from"], message["type"]) == ("invite.example.org", "chat")
        assert message["body"].startswith("told-of@example.org has joined with your invitation from ")


@pytest.mark.parametrize("address", ADDRESSES)
async def test_the_account_form(server, address):
    async with logged_in(server, "admin", PLUGINS) as admin:
        forms, results = asyncio.Queue(), asyncio.Queue()

        def show_form(iq, session):
            forms.put_nowait(iq)
            session["payload"] = iq["command"]["form"]
            session["payload"].set_type("submit")
            session["payload"].set_values({"note": "by a bot", "uses": "2", "expires": "never"})
            session["next"] = lambda iq, session: results.put_nowait(iq)
            admin.plugin["xep_0050"].continue_command(session, direction="next")

        handlers = {"next": show_form, "error": results.put_nowait}
        admin.plugin["xep_0050"].start_command(address, CREATE_ACCOUNT, handlers)
        form = await asyncio.wait_for(forms.get(), PATIENCE)
        assert (form["command"]["status"], form["command"]["actions"]) == ("executing", {"complete"})
        result = await asyncio.wait_for(results.get(), PATIENCE)
        assert result["command"]["status"] == "completed"
        made = show(server, Invite(values_of(result)["uri"]))
    assert (made["note"], made["max_uses"], made["expires_at"]) == ("by a bot", 2, None)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_answers_are_in_the_language_of_the_stream(server, address):
    """In a language from right to left, an address and a date have isolates around them."""
    async with logged_in(server, "alice", PLUGINS, language="ar") as alice:
        reply = await alice.plugin["xep_0050"].send_command(address, NEW_INVITE)
    form = reply["command"]["form"]
    said = {key: text(key, language="ar", table="command") for key in ("result", "landing_url", "uri")}
    assert form["title"] == said["result"] and reply["command"]["lang"] == "ar"
    assert [form.get_fields()[var]["label"] for var in ("landing-url", "uri")] == [said["landing_url"], said["uri"]]
    assert f"«\u2068{said['landing_url']}\u2069»" in form["instructions"]
    until = "حتى \u2068\\d+ \\w+ \\d{4}، \\d\\d:\\d\\d [(]UTC[)]\u2069"
    assert re.search(until, form["instructions"]), form["instructions"]
    async with logged_in(server, "bob", PLUGINS, language="iw") as bob:
        reply = await bob.plugin["xep_0050"].send_command(address, NEW_INVITE)
    assert reply["command"]["form"]["title"] == text("result", language="he", table="command")


async def test_a_program_registers_with_a_token_and_logs_in(server):
    invite = generate(server, "--contact", "alice@example.org")

    def register_on(client):
        async def register_with_token(_):
            client.send_raw(f"<iq type='set' id='token'>{preauth_element(invite.token)}</iq>")
            iq = client.Iq(stype="set")
            iq["register"]["username"] = "robot"
            iq["register"]["password"] = password_of("robot")
            await iq.send()
        return register_with_token

    async with logged_in(server, "robot", PLUGINS, register=register_on) as robot:
        assert robot.boundjid.bare == "robot@example.org"
        await robot.get_roster()
        assert robot.client_roster["alice@example.org"]["subscription"] == "both"
    await used(server, invite)
