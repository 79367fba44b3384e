"""Links that another program made lead to its own paths. If `[web] also` lists these, an old link
shows the page of its invite at once, to browsers and to apps that ask only for the headers. From
there on, people are at the public address."""

import copy
import itertools
import re
from html import unescape
from urllib.parse import quote

import pytest

from harness.chromium import chromium, open_page
from harness.proxies import MOVING, samples
from harness.server import Server, password_of
from harness.stories import generate, has_account, revoke, show, used
from harness.web import HTML_FORM, Visitor, text, web_settings

pytestmark = pytest.mark.one_setup

PUBLIC = "https://invite.example.org/join"
ALSO = ["/invites_page", "/register", "/invite", "/invites/", "/join/example.org/invite"]
OLD_HOST = {"Host": "example.org"}

# Where the programs put the token, and what stood behind it.
LINKS = [
    "/invites_page?{}", "/invites_page/?{}", "/invites_page/setup/conversations?{}",
    "/register?t={}", "/register?t={}&c=conversations", "/register?t={};c=conversations",
    "/join/example.org/invite?{}",
    "/invite/{}", "/invite/{}/", "/invite/{}/register", "/invite/{}/reset",
    "/invites/{}", "/invites/{}/conversations", "/invites/{}/registration", "/invites/{}/conversations/registration",
    "/invite/?alice@example.org?roster;preauth={};ibr=y", "/invite?uri=xmpp:example.org?register;preauth={}",
]

# What programs make of them.
CHANGED = [
    "//invites_page?{}", "/invites_page%3F{}", "/%69nvites_page?{}", "/invites_page?{}.", "/invites_page?{}=",
    "/invites_page?%3C{}%3E", "/invites_page?{}%20and%20more", "/invites_page?{}&utm_source=newsletter-november",
    "/invites_page?fbclid=conversations&{}", "/register?t={}&amp;c=gajim", "/register?t%3D{}%26c%3Dgajim",
    "/invites/{}%2Fregistration", "/invite/{}/?utm_source=newsletter-november", "/invite/%22{}%22", "/invite//{}.",
    "http://example.org/invites_page?{}", "HTTPS://example.org/invites_page?{}",
]


@pytest.fixture(scope="module")
def running(prosody_version, store_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    (folder / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    settings = web_settings(public_url=PUBLIC, also=ALSO, logo=str(folder / "logo.svg"))
    settings["limits"] = {"pages": "unlimited"}
    with Server(prosody_version, folder, store_url=store_url(), settings=settings,
                environment={"EASY_INVITE_LOG": "trace"}) as server:
        yield server


@pytest.fixture
def server(running):
    """The same server for all tests, with the configuration with which it started."""
    first = copy.deepcopy(running.daemon.config)
    yield running
    if running.daemon.config != first:
        running.daemon.config = first
        running.daemon.reload()


@pytest.mark.parametrize("options", [
    [], ["--username", "carol"], ["--contact", "alice@example.org"],
    ["--contact", "alice@example.org", "--contact-only"], ["--reset", "bob"]], ids=" ".join)
async def test_whatever_program_made_them_and_whatever_changed_them(server, options):
    invite, visitor = generate(server, *options), Visitor(server, headers=OLD_HOST)
    page = await visitor.get(visitor.path(invite))
    for link in [link.format(invite.token) for link in LINKS + CHANGED]:
        got, headed = await visitor.get(link), await visitor.head(link)
        assert (got.status, headed.status) == (200, 200), link
        assert got.text == page.text and got.heading, link
        for answer in (got, headed):
            assert answer.headers_of("Link") == [f'<{invite.uri}>; rel="alternate"'], link
            assert answer.header("Referrer-Policy") == "no-referrer" and answer.header("Cache-Control") == "no-store"
            assert answer.header("Access-Control-Allow-Origin") == "*"
    assert show(server, invite)["uses"] == 0 and invite.token not in server.daemon.log
    revoke(server, invite)
    for link in LINKS:
        for ask in (visitor.get, visitor.head):
            ended = await ask(link.format(invite.token))
            assert ended.status == 410 and not ended.headers_of("Link")


async def test_people_go_on_at_the_public_address(server):
    invite, visitor = generate(server, "--contact", "alice@example.org"), Visitor(server, headers=OLD_HOST)
    for agent, link in itertools.product(["Android", "Windows"], LINKS):
        page = await visitor.get(link.format(invite.token), {"User-Agent": agent})
        links = [unescape(link) for link in re.findall('(?:href|action|src)="([^"]*)"', page.body)]
        ours = [link for link in links if link.startswith(PUBLIC)]
        assert {f"{PUBLIC}/i/{invite.token}/apps", f"{PUBLIC}/i/{invite.token}/register", f"{PUBLIC}/logo"} <= {*ours}
        assert not [link for link in links if link.startswith(("/", "?", "#"))], "the old host has no such pages"
        assert f"{PUBLIC}/i/{invite.token}" in page.text, "the address to copy is the new one"
        assert "img-src 'self' data: https://invite.example.org;" in page.header("Content-Security-Policy")
    newcomer = Visitor(server)
    form = await newcomer.get(f"/join/i/{invite.token}/register")
    answers = {**form.fields, "choice": "own", "username": "carol", "password": password_of("carol")}
    cookie = {"Origin": "https://invite.example.org", "Sec-Fetch-Site": "same-origin"}
    assert (await newcomer.post(f"/join/i/{invite.token}/register", answers, cookie)).status == 200
    assert await has_account(server, "carol")
    await used(server, invite)
    over = await visitor.get(f"/invites_page?{invite.token}")
    assert (over.status, over.heading) == (410, text("used"))
    assert f'href="{PUBLIC}/i/{invite.token}/apps?have=account"' in unescape(over.body)


async def test_an_old_link_without_a_whole_token_is_a_broken_one(server):
    visitor = Visitor(server, headers=OLD_HOST)
    broken = await visitor.get("/i/")
    for link in ("/invites_page", "/invites_page?", "/register?t=", "/register?t=abc&c=conversations",
                 "/invites_page/static/qr-logo.png", "/invites/registration", "/invite/-/success", "/invite/success",
                 "/invite/?alice@example.org?roster"):
        page = await visitor.get(link)
        assert (page.status, page.heading) == (404, text("incomplete")), link
        assert page.text == broken.text
    for link in ("/", "/invites_pages?{}", "/invite2/{}", "/elsewhere/invite/{}", "/join/i2/{}"):
        page = await visitor.get(link.format("A" * 24))
        assert (page.status, page.heading) == (404, text("no_page")), link
    form = {"Content-Type": HTML_FORM, "Content-Length": "0"}
    for method in ("POST", "PUT", "DELETE"):
        sent = await visitor.request(method, f"/register?t={'A' * 24}", form)
        assert (sent.status, sent.heading) == (404, text("no_page")), "a form of the old page"


async def test_limits_count_them_as_any_other_link(server):
    invite = generate(server)
    server.daemon.config["limits"] = {"wrong_tokens": 3, "pages": 5}
    server.daemon.reload()
    guesser, other = Visitor(server, "127.0.0.7"), Visitor(server, "127.0.0.8")
    for number, status in enumerate([404, 404, 429]):
        assert (await guesser.get(LINKS[number].format(f"{number:024}"))).status == status
    assert (await guesser.get(f"/invites_page?{invite.token}")).status == 429
    visits = [(await other.head(f"/invite/{invite.token}/")).status for _ in range(6)]
    assert visits == [200] * 5 + [429]


async def test_a_reload_takes_over_the_paths(server):
    """Old links may also lead to the root, or to the path of the pages themselves."""
    invite, visitor = generate(server), Visitor(server, headers=OLD_HOST)
    assert (await visitor.get(f"/?{invite.token}")).heading == text("no_page")
    server.daemon.config["web"]["also"] = ["/", "/join"]
    server.daemon.reload()
    for link in ("/?{}", "/{}", "/{}/register", "/join?{}", "/join/?{}", "/join/{}/"):
        page = await visitor.head(link.format(invite.token))
        assert (page.status, page.header("Link")) == (200, f'<{invite.uri}>; rel="alternate"'), link
    form = await visitor.get(f"/join/i/{invite.token}/register")
    assert form.status == 200 and form.fields["form"], "the pages are where they were"
    assert (await visitor.get("/join/logo")).header("Content-Type") == "image/svg+xml"
    del server.daemon.config["web"]["also"]
    server.daemon.reload()
    assert (await visitor.get(f"/invites_page?{invite.token}")).heading == text("no_page")


async def test_what_stands_behind_a_number_sign_is_sent_on_by_a_page(server, tmp_path):
    """The page in docs/moving.md, since no server sees that part of an address."""
    invite = generate(server, "--contact", "alice@example.org")
    [sample] = samples("html", MOVING)
    public_url = f"http://{server.daemon.config['web']['listen']}/join"
    (tmp_path / "join.html").write_text(sample.replace("https://invite.example.org", public_url))
    uri = invite.uri.removeprefix("xmpp:")
    async with chromium() as browser:
        for behind in (invite.token, uri, quote(uri), f"xmpp:{uri}", f"{uri}&utm_source=newsletter"):
            page = await open_page(browser, f"file://{tmp_path}/join.html#{behind}", script=True)
            await page.wait_for_url(f"{public_url}/i/*")
            assert await page.inner_text("h1") == text("invited_by", inviter="alice@example.org"), behind
