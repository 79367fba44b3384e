"""The token of an imported invite has the length and the characters that its program gave it. It is
good wherever one of ours is: as a page, in chat clients, in a contact request, in a form, in a chat
and on the command line. And it ends as one of ours does."""

import hashlib
from urllib.parse import quote

import pytest

from harness import clients
from harness.server import password_of
from harness.stories import Invite, eventually, generate, has_account, in_store, regenerate, show, used, write
from harness.web import Visitor, text, web_settings
from harness.xmpp import StanzaError

SOURCE = "127.0.0.2"
PROSODYS, SHORT, LONG, LIKE_AN_ID = "-kDb-3kT_9Zx0aQ--BnM12w_", "-8chars_", "_" + "aB3-" * 31 + "x_", "abcdefgh2345"
TOKENS = [PROSODYS, SHORT, LONG, LIKE_AN_ID, "_ABCDEFGHIJKLMNOPQRSTUVWX-"]


def imported(server, token, *arguments):
    """A new invite that has the token of another program, as an import makes it."""
    made = generate(server, *arguments)
    hash = token.encode()[:3] + hashlib.sha256(token.encode()).digest()[3:]
    in_store(server, "UPDATE invite SET token_hash = ?, token_length = ?, imported_from = 'prosody' WHERE id = ?",
             hash, len(token), show(server, made)["id"])
    return Invite(made.uri.replace(made.token, token))


def tokens(letter):
    """The tokens, with a letter more that makes them others."""
    return [token[:3] + letter + token[3:] for token in TOKENS]


def links(invite):
    """What people have been sent."""
    host = "https://example.org:5281"
    return [invite.uri, f"{host}/invites_page?{invite.token}", f"{host}/invite/{invite.token}/",
            f"{host}/invites/{invite.token}", f"{host}/register?t={invite.token};c=conversations"]


async def test_as_a_page_and_in_its_form(web_server):
    visitor = Visitor(web_server)
    for number, token in enumerate(TOKENS):
        invite = imported(web_server, token)
        whole = await visitor.get(visitor.path(token))
        assert whole.headers_of("Link") == [f'<{invite.uri}>; rel="alternate"']
        spelled = token.replace("-", "%2D").replace("_", "%5f")
        for path in (spelled, token + ".", f"<{token}>", token + "%0A", token + "__", quote(invite.uri, safe="")):
            got = await visitor.get(visitor.path(quote(path, safe="%")))
            assert (got.status, got.body) == (200, whole.body), path
        for path in (token, spelled, token + "."):
            assert (await visitor.get(visitor.path(path, "apps"))).status == 200, path
        form = await visitor.get(visitor.path(token + "/register."))
        answers = {**form.fields, "choice": "own", "username": f"page-{number}", "password": password_of("page")}
        assert (await visitor.post(visitor.path(token, "register"), answers)).status == 200, token
        assert await has_account(web_server, f"page-{number}", password=password_of("page"))
        await used(web_server, invite)
        assert (await visitor.get(visitor.path(token))).status == 410
    reset = imported(web_server, PROSODYS + "reset", "--reset", "page-0")
    assert (await visitor.reset(reset, password_of("anew"))).status == 200
    assert await has_account(web_server, "page-0", password=password_of("anew"))


async def test_in_chat_clients(web_server):
    for number, token in enumerate(tokens("c")):
        invite = imported(web_server, token, "--uses", "unlimited")
        for kind in (clients.Conversations, clients.ConversationsOld, clients.Monal, clients.Siskin):
            username = f"{kind.__name__.lower()}-{number}"
            await kind(web_server).redeem(invite.uri, username, password_of(username))
            assert await has_account(web_server, username), token
        async with await web_server.connect() as stream:
            for presented in (*links(invite), token + ".", f"({token})", f"“{token}”", quote(token)):
                await stream.preauth(presented)
            await stream.registration_set(f"whole-{number}", password_of("whole"))


async def test_in_a_contact_request(web_server):
    alice = await web_server.login("alice")
    for number, token in enumerate(tokens("s")):
        invite = imported(web_server, token, "--contact", "alice@example.org", "--contact-only")
        async with await web_server.connect() as stream:
            await stream.preauth(generate(web_server).token)
            await stream.registration_set(f"guest-{number}", password_of(f"guest-{number}"))
        guest = await web_server.login(f"guest-{number}")
        guest.subscribe("alice@example.org", invite.token)
        await guest.presence_from("alice@example.org", "subscribed")
        assert (await alice.roster())[f"guest-{number}@example.org"].subscription in ("from", "both")


@pytest.mark.one_setup
async def test_in_a_chat_and_on_the_command_line(web_server):
    alice = await web_server.login("alice")
    for token in tokens("a"):
        invite = imported(web_server, token, "--contact", "alice@example.org")
        in_store(web_server, "UPDATE invite SET issuer = 'user' WHERE id = ?", show(web_server, invite)["id"])
        id = show(web_server, invite)["id"]
        assert id in await write(alice, f"show {token}")
        for named in (*links(invite), f"<{token}>,"):
            shown = web_server.daemon.cli("show", named)
            assert shown.returncode == 0 and id in shown.stdout, (named, shown.stderr)
        await write(alice, f"revoke {token}")
        await eventually(lambda invite=invite: show(web_server, invite)["state"] == "revoked", "it is revoked")
    for words in ("revoke carol-and-dave", "show invitations", "revoke the one-before-the-last", "show 99999999999"):
        assert "list" in await write(alice, words), "such words name no invite"


async def test_one_that_was_replaced_is_no_guess_and_one_that_nobody_has_is_one(make_server):
    server = make_server(settings=web_settings())
    invite, visitor = imported(server, PROSODYS), Visitor(server, SOURCE)
    renewed = regenerate(server, invite)
    for _ in range(15):
        assert (await visitor.get(visitor.path(PROSODYS))).status == 410
        await refused(server, PROSODYS)
        page = await visitor.get(visitor.path(renewed.token[:12]))
        assert (page.status, page.heading) == (404, text("incomplete"))
    assert (await visitor.get(visitor.path(renewed.token))).status == 200
    for number in range(10):
        page = await visitor.get(visitor.path(f"__-9Zx-{number}__"))
        assert (page.status, page.heading) == (404, text("unknown"))
        await refused(server, f"__-9Zx-{number}-_")
    assert (await visitor.get(visitor.path(renewed.token))).status == 429


async def test_what_is_cut_is_a_guess_where_tokens_are_as_short(make_server):
    server = make_server(settings=web_settings())
    invite, visitor = imported(server, LIKE_AN_ID), Visitor(server, SOURCE)
    for number in range(20):
        assert (await visitor.get(visitor.path(f"abcdefgh23{number:02}"))).status in (404, 429)
    assert (await visitor.get(visitor.path(invite.token))).status == 429
    assert (await Visitor(server).get(visitor.path(invite.token))).status == 200


async def refused(server, token):
    """Presents a token in a chat client, in vain."""
    async with await server.connect(source=SOURCE) as stream:
        with pytest.raises(StanzaError, match="item-not-found|policy-violation"):
            await stream.preauth(token)
