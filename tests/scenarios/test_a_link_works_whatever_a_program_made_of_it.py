"""Mail programs, chat apps and people add to a link, encode it, wrap it into a link of their own
and break it. As long as its token is whole, it works: as a page, in a chat client, in a contact
request and on the command line."""

from urllib.parse import quote

import pytest

from harness import clients
from harness.server import password_of
from harness.stories import generate, has_account, show, used
from harness.web import Visitor
from harness.xmpp import StanzaError

WORD_JOINER, SOFT_HYPHEN, NO_WIDTH = "\u2060", "\u00ad", "\u200b"

# What stands behind a token, or around it, or within.
BEHIND = ["/", "//", ".", ")", ",", ");", "!", "*", "=", ">", '"', "'", "”", "»", "…", "|", "\\", "_", "&gt;", "</a>",
          " ", "\n", NO_WIDTH, "\ufeff", "です", ".%22", "&utm_source=mail", "?fbclid=" + "x" * 24, "#main", "./",
          "/.", "/) and more"]
AROUND = ["<{}>", "({})", "“{}”", '"{}"', " {} ", "[{}](", "*{}*", "_{}_", NO_WIDTH + "{}" + NO_WIDTH]
WITHIN = [SOFT_HYPHEN, NO_WIDTH, WORD_JOINER, "\r\n", "\n ", "=\r\n", "\n> "]


def broken(token):
    """A token as programs break it."""
    return ([token + added for added in BEHIND] + [around.format(token) for around in AROUND]
            + [token[:9] + within + token[9:] for within in WITHIN] + [NO_WIDTH.join(token)])


def links(invite, page):
    """Whole links as people paste them where a token is wanted."""
    once, twice = quote(page, safe=""), quote(quote(page, safe=""), safe="")
    scheme, rest = invite.uri.split(":", 1)
    return [
        invite.uri, f"{scheme.upper()}:{rest}", f"<{invite.uri}>", f"{invite.uri}.", invite.uri + "&fbclid=" + "x" * 24,
        quote(invite.uri, safe=""), f"Join us: {page}\nSee you there", f"> {page[:-9]}\n> {page[-9:]}\n> Bob",
        f"https://l.example/l.php?u={once}&h=507f1f77bcf86cd799439011", f"https://safe.example/?url={twice}&data=05%7C01",
        "https://urldefense.example/v2/url?u=" + page.replace(":", "-3A").replace("/", "_") + "&d=DwMF",
        "https://urldefense.example/v2/url?u=" + invite.uri.replace(":", "-3A").replace("?", "-3F").replace("=", "-3D"),
        f"https://urldefense.example/v3/__{page}__;!!NEt6yMaO-gk!{'x' * 900}$",
        f"https://store.example/app?referrer={quote(invite.uri, safe='')}", invite.uri.replace("=", "=3D"),
    ]


def page_of(server, invite):
    """The address of an invite's page."""
    return f"{server.daemon.config['web']['public_url']}/i/{invite.token}"


@pytest.mark.one_setup
async def test_as_a_page(web_server):
    invite, visitor = generate(web_server, "--uses", "unlimited"), Visitor(web_server)
    whole = await visitor.get(visitor.path(invite))
    texts = [quote(text, safe="/&=") for text in broken(invite.token) + links(invite, page_of(web_server, invite))]
    encoded = [invite.token + added for added in ("%20", "%22", "%2F", "%E2%80%8B", "%0A", "%0a%0d", "%ff", "%", "%00")]
    wrapped = [quote(quote(invite.token + ".", safe=""), safe=""), f"..%2f{invite.token}", f"%22{invite.token}%2522"]
    queries = [f"{invite.token}{added}" for added in (".?fbclid=x", "?utm_source=a&utm_id=b", "/?si=1#x", "%3Fx=y?z")]
    plain = [invite.token + added for added in '/ . ) , ; ! * = "'.split()]
    for text in [*texts, *encoded, *wrapped, *queries, *plain]:
        got, headed = [await ask(visitor.path(text)) for ask in (visitor.get, visitor.head)]
        assert (got.status, headed.status) == (200, 200), text
        for answer in (got, headed):  # chat apps ask for the headers alone, and follow no redirect
            assert answer.headers_of("Link") == [f'<{invite.uri}>; rel="alternate"'], text
        assert got.body == whole.body, f"its links and codes are the right ones: {text}"


@pytest.mark.one_setup
@pytest.mark.parametrize("before", ["//i/", "/join//i/", "//join/i/", "/join/i//"])
async def test_as_a_page_with_a_slash_too_many(web_server, before):
    """nginx makes the first of them, with a `proxy_pass` that ends in a slash and a `location` that does not."""
    invite, visitor = generate(web_server), Visitor(web_server)
    for page in ("", "/register", "/apps"):
        assert (await visitor.get(f"{before}{invite.token}{page}")).status == 200


@pytest.mark.one_setup
async def test_as_each_page_of_an_invite(web_server):
    visitor = Visitor(web_server)
    paths = ["%3C{}%3E/register", "{}/register.", "{}/register%20", "{}//register/", "{}%2Fregister"]
    for number, path in enumerate(paths):
        invite = generate(web_server)
        path = visitor.path(path.format(invite.token))
        form = await visitor.get(path)
        assert form.status == 200 and form.fields["form"], path
        assert (await visitor.get(path.replace("register", "apps") + "?on=ios")).status == 200
        answers = {**form.fields, "choice": "own", "username": f"mended-{number}", "password": password_of("mended")}
        assert (await visitor.post(path, answers)).status == 200, path
        assert await has_account(web_server, f"mended-{number}", password=password_of("mended"))
        await used(web_server, invite)
    for path in (f"{invite.token}/nothing", f"{invite.token}/register/nothing", f"{invite.token}/../../logo"):
        assert (await visitor.get(visitor.path(path))).status in (404, 410), path


async def test_in_a_chat_client(web_server):
    invite = generate(web_server, "--uses", "unlimited")
    for number, text in enumerate([*broken(invite.token), *links(invite, page_of(web_server, invite))]):
        if number % 8 == 0:
            stream = await web_server.connect()
        await stream.preauth(text)
        if number % 8 == 7:
            await stream.registration_set(f"mended-{number}", password_of("mended"))
    for kind in (clients.Conversations, clients.ConversationsOld, clients.Monal, clients.Siskin):
        for added in (".", "%20", "%E2%80%8B", ",&utm_source=x"):
            username = f"{kind.__name__}-{quote(added, safe='').lower().replace('%', '')}"
            await kind(web_server).redeem(invite.uri + added, username, password_of("mended"))
            assert await has_account(web_server, username, password=password_of("mended"))


async def test_in_a_contact_request(web_server):
    alice = await web_server.login("alice")
    for number, change in enumerate([lambda token: token + ".", lambda token: f"<{token}>", NO_WIDTH.join,
                                     lambda token: f"xmpp:alice@example.org?roster;preauth={token}&fbclid=x"]):
        invite = generate(web_server, "--contact", "alice@example.org")
        await register_by(web_server, f"guest-{number}")
        guest = await web_server.login(f"guest-{number}")
        guest.subscribe("alice@example.org", change(invite.token))
        await guest.presence_from("alice@example.org", "subscribed")
        assert (await alice.roster())[f"guest-{number}@example.org"].subscription in ("from", "both")


@pytest.mark.one_setup
async def test_on_the_command_line(web_server):
    invite = generate(web_server)
    id = show(web_server, invite)["id"]
    for text in [*broken(invite.token), *links(invite, page_of(web_server, invite)), f"({id}).", f" {id}\n"]:
        shown = web_server.daemon.cli("show", "-", input=text)
        assert shown.returncode == 0 and id in shown.stdout, (text, shown.stderr)
    revoked = web_server.daemon.cli("revoke", f"<{page_of(web_server, invite)}>,")
    assert revoked.returncode == 0 and show(web_server, invite)["state"] == "revoked"


async def test_but_no_token_is_made_of_other_letters(web_server):
    invite, visitor = generate(web_server), Visitor(web_server)
    token = invite.token
    begin, end = token[:12], token[12:]
    for text in (token[:-1], token[1:], token + "x", "0" + token, f"{begin}.{end}", f"{begin}x{end}"):
        assert (await visitor.get(visitor.path(text))).status == 404, text
        async with await web_server.connect() as stream:
            with pytest.raises(StanzaError, match="cancel/item-not-found"):
                await stream.preauth(text)
        assert web_server.daemon.cli("show", text).returncode == 1


async def register_by(server, username):
    """Registers with an invite of the operator."""
    async with await server.connect() as stream:
        await stream.preauth(generate(server).token)
        await stream.registration_set(username, password_of(username))
