"""The pages name the inviter as the inviter does: by the nickname of the account, or by the vCard,
with the address behind it. A nickname that is hostile, or somebody else's, is cleaned or left
out."""

import asyncio

import pytest

from harness.prosody import USUAL_MODULES
from harness.stories import Invite, generate, new_invite, register, revoke
from harness.web import Visitor, text, web_settings
from harness.xmpp import escape

PUBSUB, NICK = "http://jabber.org/protocol/pubsub", "http://jabber.org/protocol/nick"
ALICE = "alice@example.org"


async def test_by_the_nickname_of_the_account(web_server):
    alice = await web_server.login("alice")
    await call_oneself(alice, "Alice Müller")
    for address in ("example.org", "invite.example.org"):
        invite = await made_by(alice, address)
        assert await heading(web_server, invite) == text("invited_by", inviter=f"Alice Müller ({ALICE})")
    landing = await page(web_server, invite)
    assert landing.body.count(f"Alice Müller ({ALICE})") >= 2, "in the preview that messengers show, too"
    welcome = await Visitor(web_server).register(invite, f"carol-{web_server.prosody.version.replace('.', '-')}")
    assert text("connected", inviter=f"Alice Müller ({ALICE})") in welcome.text

    retracted = f"<retract node='{NICK}' notify='1'><item id='current'/></retract>"
    await alice.ask("set", f"<pubsub xmlns='{PUBSUB}'>{retracted}</pubsub>")
    assert await heading(web_server, await made_by(alice)) == text("invited_by", inviter=ALICE), "it is removed"
    revoke(web_server, invite := await made_by(alice))
    assert ALICE in (await page(web_server, invite)).text


async def test_by_the_vcard(web_server):
    bob = await web_server.login("bob")
    for vcard, name in [("<FN>Robert Smith</FN><NICKNAME>Bobby</NICKNAME>", "Bobby (bob@example.org)"),
                        ("<FN>Robert Smith</FN>", "Robert Smith (bob@example.org)"),
                        ("<DESC>without a name</DESC>", "bob@example.org"),
                        ("<FN/><NICKNAME/>", "bob@example.org")]:
        await bob.ask("set", f"<vCard xmlns='vcard-temp'>{vcard}</vCard>")
        assert await heading(web_server, await made_by(bob)) == text("invited_by", inviter=name), vcard
    await bob.ask("set", "<vCard xmlns='vcard-temp'><FN>Robert Smith</FN></vCard>")
    await call_oneself(bob, "Bob the First")  # which counts before the vCard
    by_nickname = text("invited_by", inviter="Bob the First (bob@example.org)")
    assert await heading(web_server, await made_by(bob)) == by_nickname


@pytest.mark.parametrize(("nickname", "shown"), [
    ("ü" * 10_000, "ü" * 50),
    ("Al\u202eecila\u2066\u200f", "Alecila"),
    ("Alice\nthe\r\n\tfirst", "Alice the first"),
    ("<script>alert('x')</script> & \"co\" {host} {{ t }}", "<script>alert('x')</script> & \"co\" {host} {{ t }}"[:50]),
    ("🦄 Ally 👩\u200d🚀", "🦄 Ally 👩\u200d🚀"),
    ("عليّ", "عليّ"),
    ("A" + "\u0301" * 40, "A" + "\u0301" * 3),
    *((deceiving, None) for deceiving in [
        "admin", "ADMIN", "Аdmin", "admin@example.org", "The Administrator", "example.org support",
        "https://evil.example", "Alice", " \u2800 ", "\u3164"]),
], ids=lambda value: (value or "left out")[:12].encode("unicode_escape").decode())
async def test_a_hostile_nickname(web_server, nickname, shown):
    alice = await web_server.login("alice")
    await call_oneself(alice, nickname)
    landing = await page(web_server, await made_by(alice))
    assert landing.status == 200 and "<script" not in landing.body
    name = f"{shown} ({ALICE})" if shown else ALICE
    assert landing.heading == text("invited_by", inviter="*").replace("*", name)


async def test_what_contacts_may_not_read_is_not_shown(web_server):
    alice = await web_server.login("alice")
    await alice.ask("set", f"<pubsub xmlns='{PUBSUB}#owner'><delete node='{NICK}'/></pubsub>")
    await call_oneself(alice, "Secret Alice", access_model="whitelist")
    assert await heading(web_server, await made_by(alice)) == text("invited_by", inviter=ALICE)


async def test_without_pep(make_server):
    modules = [name for name in USUAL_MODULES if name not in ("pep", "vcard4", "vcard_legacy", "bookmarks")]
    server = make_server(settings=web_settings(), modules=[*modules, "vcard"])
    alice = await server.login("alice")
    assert await heading(server, await made_by(alice)) == text("invited_by", inviter=ALICE)
    await alice.ask("set", "<vCard xmlns='vcard-temp'><FN>Alice\u202e\nMüller</FN></vCard>")
    assert await heading(server, await made_by(alice)) == text("invited_by", inviter=f"Alice Müller ({ALICE})")
    operators = generate(server, "--contact", ALICE)
    assert await heading(server, operators) == text("invited_by", inviter=f"Alice Müller ({ALICE})")


async def test_nobody_fails_for_want_of_a_nickname(make_server):
    server = make_server(settings=web_settings())
    folder = next(server.prosody.data_folder.glob("example%2eorg"))
    (folder / "pep").mkdir(exist_ok=True)
    (folder / "pep" / "alice.dat").write_text("this is no Lua {")
    invite = await made_by(await server.login("alice"))
    assert await heading(server, invite) == text("invited_by", inviter=ALICE)
    await register(server, "carol", invite)


async def call_oneself(client, nickname, access_model=None):
    """A user publishes a nickname (XEP-0172)."""
    options = "" if access_model is None else (
        "<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>"
        f"<value>{PUBSUB}#publish-options</value></field><field var='pubsub#access_model'>"
        f"<value>{access_model}</value></field></x></publish-options>")
    item = f"<item id='current'><nick xmlns='{NICK}'>{escape(nickname)}</nick></item>"
    await client.ask("set", f"<pubsub xmlns='{PUBSUB}'><publish node='{NICK}'>{item}</publish>{options}</pubsub>")


async def made_by(user, address=None) -> Invite:
    """A new invite of a user. What was known of a user a tenth of a second ago counts, too."""
    await asyncio.sleep(0.12)
    return await new_invite(user, address)


async def page(server, invite):
    """The page of an invite."""
    visitor = Visitor(server)
    return await visitor.get(visitor.path(invite))


async def heading(server, invite):
    """What stands at the top of the page of an invite."""
    return (await page(server, invite)).heading
