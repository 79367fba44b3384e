"""A user has the component among the contacts. It has a name, a picture and a status that says what
to write, wherever apps look for these, in the user's language. What it says of its capabilities is
what it answers."""

import asyncio
import base64
import hashlib
import struct
import tomllib

import pytest

from harness.daemon import REPOSITORY
from harness.process import PATIENCE
from harness.profanity import Profanity
from harness.slixmpp_client import logged_in
from harness.stories import generate
from harness.web import Visitor, web_settings
from harness.xmpp import ADHOC, DATA_FORM, DISCO_INFO, DISCO_ITEMS, PING, XML, StanzaError, child, children

COMPONENT = "invite.example.org"
CONTACT = {path.stem: tomllib.loads(path.read_text())["contact"] for path in (REPOSITORY / "languages").glob("*.toml")}
PUBSUB = "http://jabber.org/protocol/pubsub"
CAPS = "{http://jabber.org/protocol/caps}c"
VCARD, VCARD4, NICK = "vcard-temp", "urn:ietf:params:xml:ns:vcard-4.0", "http://jabber.org/protocol/nick"
METADATA, DATA = "urn:xmpp:avatar:metadata", "urn:xmpp:avatar:data"
FEATURES = {ADHOC, DISCO_INFO, DISCO_ITEMS, DATA_FORM, PING, PUBSUB, f"{PUBSUB}#retrieve-items", VCARD, VCARD4,
            "jabber:iq:version"}


async def test_a_new_contact_says_who_it_is(server):
    admin = await server.login("admin", language="de")
    admin.subscribe(COMPONENT)
    subscribed = await admin.presence_from(COMPONENT, "subscribed")
    assert subscribed.find(f"{{{NICK}}}nick").text == "Einladungen"
    presence = await admin.presence_from(COMPONENT)
    assert [status.text for status in children(presence, "status")] == [CONTACT["de"]["status"]]
    assert "„help“" in CONTACT["de"]["status"]
    assert presence.get(f"{{{XML}}}lang") == "de"
    assert await name_told(admin) == "Einladungen"


async def test_it_says_so_again_at_each_login_in_the_language_that_the_user_has_asked_in(server):
    async with await server.login("bob", language="fr") as bob:
        bob.subscribe(COMPONENT)
        await bob.presence_from(COMPONENT)
    for language in ("fr", "pl"):
        async with await server.login("bob", presence=False, language=language) as bob:
            await bob.disco_info(COMPONENT)  # as apps do, which look at the server's services
            await bob.roster()
            await bob.become_available()
            presence = await bob.presence_from(COMPONENT)
            assert child(presence, "status").text == CONTACT[language]["status"]
            assert await name_told(bob) == CONTACT[language]["name"]


async def test_its_picture_is_the_same_wherever_an_app_looks(server):
    alice = await server.login("alice")
    alice.subscribe(COMPONENT)
    known = (await alice.presence_from(COMPONENT)).find("{vcard-temp:x:update}x/{vcard-temp:x:update}photo").text
    photo = (await ask(alice, "vCard", VCARD)).find(f"{{{VCARD}}}PHOTO")
    picture = base64.b64decode(photo.findtext(f"{{{VCARD}}}BINVAL"), validate=True)
    assert hashlib.sha1(picture).hexdigest() == known
    assert photo.findtext(f"{{{VCARD}}}TYPE") == "image/png" and picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) < 8192  # XEP-0153
    item, metadata = await read(alice, METADATA)
    info = metadata.find(f"{{{METADATA}}}info")
    assert item == info.get("id") == known and int(info.get("bytes")) == len(picture)
    assert struct.unpack(">II", picture[16:24]) == (int(info.get("width")), int(info.get("height")))
    for item in (None, known):
        assert base64.b64decode((await read(alice, DATA, item))[1].text) == picture
    uri = (await ask(alice, "vcard", VCARD4)).findtext(f"{{{VCARD4}}}photo/{{{VCARD4}}}uri")
    assert uri == "data:image/png;base64," + base64.b64encode(picture).decode()


@pytest.mark.one_setup
async def test_its_name_is_in_every_language(server):
    hashes = set()
    (await server.login("alice")).subscribe(COMPONENT)
    for language, own in CONTACT.items():
        async with await server.login("alice", presence=False, language=language) as alice:
            vcard, vcard4 = await ask(alice, "vCard", VCARD), await ask(alice, "vcard", VCARD4)
            names = [vcard.findtext(f"{{{VCARD}}}{name}") for name in ("FN", "NICKNAME")]
            names += [vcard4.findtext(f"{{{VCARD4}}}{name}/{{{VCARD4}}}text") for name in ("fn", "nickname")]
            names += [(await alice.disco_info(COMPONENT)).identities[0][2], (await read(alice, NICK))[1].text,
                      (await read(alice, "urn:xmpp:vcard4"))[1].findtext(f"{{{VCARD4}}}fn/{{{VCARD4}}}text")]
            assert set(names) == {own["name"]}, language
            await alice.become_available()
            presence = await alice.presence_from(COMPONENT)
            assert (child(presence, "status").text, presence.find(f"{{{XML}}}lang")) == (own["status"], None), language
            caps = presence.find(CAPS)
            for node in (None, f"{caps.get('node')}#{caps.get('ver')}"):
                assert await verification(alice, node) == caps.get("ver"), f"{language}, {node}"
            hashes.add(caps.get("ver"))
    assert len(hashes) == 1, "the capabilities of one software are the same for all"


async def test_what_there_is_is_listed(server):
    alice = await server.login("alice")
    info = await alice.disco_info(COMPONENT)
    assert info.features == FEATURES
    assert {(category, kind) for category, kind, _ in info.identities} == {("component", "generic"), ("client", "bot")}
    for node in ("urn:xmpp:mood", "", "urn:xmpp:avatar:metadata2"):
        with pytest.raises(StanzaError) as refused:
            await read(alice, node)
        assert refused.value.condition == "item-not-found"


async def test_slixmpp_believes_all_of_it(server):
    async with logged_in(server, "alice", ("xep_0030", "xep_0054", "xep_0084", "xep_0115", "xep_0153")) as alice:
        checked = asyncio.get_running_loop().create_future()

        def see(presence):
            if presence["from"].bare == COMPONENT and presence["type"] == "available" and not checked.done():
                checked.set_result(presence)

        alice.add_event_handler("presence_available", see)
        alice.send_presence()
        alice.send_presence_subscription(COMPONENT)
        presence = await asyncio.wait_for(checked, PATIENCE)
        assert "help" in presence["status"]
        async with asyncio.timeout(PATIENCE):  # slixmpp keeps only a hash that it has verified
            while await alice.plugin["xep_0115"].get_verstring(COMPONENT) != presence["caps"]["ver"]:
                await asyncio.sleep(0.05)
            assert await alice.plugin["xep_0030"].supports(COMPONENT, feature=ADHOC, local=False)
            vcard = (await alice.plugin["xep_0054"].get_vcard(COMPONENT))["vcard_temp"]
            assert vcard["FN"] == "Invitations"
            picture = vcard["PHOTO"]["BINVAL"]
            assert hashlib.sha1(picture).hexdigest() == presence["vcard_temp_update"]["photo"]
            avatar = await alice.plugin["xep_0084"].retrieve_avatar(COMPONENT, presence["vcard_temp_update"]["photo"])
            assert avatar["pubsub"]["items"]["item"]["avatar_data"]["value"] == picture


async def test_profanity_shows_it(make_server, tmp_path):
    server = make_server(tls=True)
    with Profanity(server, tmp_path) as profanity:
        await profanity.log_in("alice")
        profanity.type(f"/roster add {COMPONENT}")
        profanity.type(f"/sub request {COMPONENT}")
        await profanity.read(rf"{COMPONENT} .*is online, \"Write “help”")
        profanity.type(f"/disco info {COMPONENT}")
        await profanity.read("Invitations generic component")


@pytest.mark.one_setup
async def test_the_page_of_a_new_account_says_where_to_write_if_the_newcomer_may_invite(make_server):
    server = make_server(settings=web_settings())
    line = f"write “help” to {COMPONENT}"
    assert line in (await Visitor(server).register(generate(server), "carol")).text
    reset = await Visitor(server).reset(generate(server, "--reset", "bob"), "another long password")
    assert reset.status == 200 and line not in reset.text
    server.daemon.config["hosts"]["example.org"]["allow_contact_invites"] = False
    server.daemon.restart()
    assert line not in (await Visitor(server).register(generate(server), "dora")).text


async def ask(client, name, xmlns):
    """What the component answers to an IQ with this empty payload."""
    return child(await client.ask("get", f"<{name} xmlns='{xmlns}'/>", COMPONENT), name)


async def read(client, node, item=None):
    """The id of the item of a node, and its payload."""
    asked = f"<item id='{item}'/>" if item else ""
    items = f"<items node='{node}'>{asked}</items>"
    reply = await client.ask("get", f"<pubsub xmlns='{PUBSUB}'>{items}</pubsub>", COMPONENT)
    item = reply.find(f"{{{PUBSUB}}}pubsub/{{{PUBSUB}}}items/{{{PUBSUB}}}item")
    return item.get("id"), item[0]


async def name_told(client):
    """The name that the component tells without being asked."""
    event = await client.expect_stanza("message", type="headline", sender=COMPONENT)
    return next(event.iter(f"{{{NICK}}}nick")).text


async def verification(client, node):
    """The hash of XEP-0115 (§5.1) over what discovery answers."""
    attribute = f" node='{node}'" if node else ""
    query = (await client.ask("get", f"<query xmlns='{DISCO_INFO}'{attribute}/>", COMPONENT))[0]
    lines = sorted("/".join([entry.get("category"), entry.get("type"), entry.get(f"{{{XML}}}lang", ""),
                             entry.get("name", "")]).encode() for entry in children(query, "identity"))
    lines += sorted(entry.get("var").encode() for entry in children(query, "feature"))
    assert len(lines) == len(set(lines)) == len(query)
    return base64.b64encode(hashlib.sha1(b"".join(line + b"<" for line in lines)).digest()).decode()
