"""A newcomer has only the link to the invite's page, and ends up in the inviter's contact list."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.chromium import chromium, fill_in, open_page, press, read_code, text_of
from harness.clients import Conversations, Monal
from harness.server import Server
from harness.stories import password_of
from harness.web import web_settings

pytestmark = pytest.mark.seconds(180)


@pytest.fixture(scope="module")
def server(prosody_version: str, store_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory):
    """A server whose invites lead to its own pages."""
    folder = tmp_path_factory.mktemp("server")
    with Server(prosody_version, folder, store_url=store_url(), settings=web_settings()) as running:
        yield running


async def invited_by_alice(server: Server) -> tuple[Conversations, str]:
    """alice, online, and the page of an invite that she has just made in her app."""
    alice = Conversations(server)
    await alice.log_in("alice", password_of("alice"))
    return alice, (await alice.create_invite()).landing_url


async def become_contacts(alice: Conversations, newcomer: Conversations) -> None:
    """Waits until each has the other as a contact and sees them online."""
    for user, friend in ((alice, newcomer), (newcomer, alice)):
        contact = (await user.stream.roster())[friend.jid]
        assert contact.subscription == "both"
        await user.stream.presence_from(friend.jid)


@pytest.mark.parametrize("script", [False, True], ids=["without-javascript", "with-javascript"])
async def test_in_the_browser(server: Server, script: bool) -> None:
    """They register on the page, read their address, log in with any app, and are contacts."""
    username = "carol" if script else "carla"
    alice, url = await invited_by_alice(server)
    async with chromium() as browser:
        page = await open_page(browser, url, script=script)
        assert "alice@example.org invites you to chat" in await text_of(page)
        await press(page, "create my account in the browser")
        password = await fill_in(page, username=username)
        welcome = await text_of(page)
        assert f"Welcome, {username}@example.org" in welcome
        assert "You and alice@example.org are already contacts" in welcome
        assert "write “help” to invite.example.org" in welcome, "where to invite others"
        assert password in welcome, "the offered password is shown once more"
        assert await page.reload() and password not in await page.content(), "the password is shown again"
        assert f"Welcome, {username}@example.org" in await text_of(page)
    newcomer = Conversations(server)
    await newcomer.log_in(username, password)
    await become_contacts(alice, newcomer)


@pytest.mark.one_setup
async def test_with_an_app(server: Server) -> None:
    """They get the app from its store, come back to the page and press one button."""
    alice, url = await invited_by_alice(server)
    async with chromium() as browser:
        page = await open_page(browser, url)
        store = await page.locator("a.button").first.get_attribute("href")
        opened = await page.locator("a.button", has_text="Open in the app").get_attribute("href")
    assert urlsplit(store).hostname == "play.google.com"
    assert parse_qs(urlsplit(store).query)["referrer"] == [opened], "the store passes the invite on"
    dora = Conversations(server)
    await dora.join(opened, "dora", password_of("dora"))
    await become_contacts(alice, dora)


@pytest.mark.one_setup
@pytest.mark.parametrize(("device", "first"), [
    ("android", "play.google.com"), ("ios", "apps.apple.com"), ("windows", None), ("linux", None)])
async def test_there_is_one_obvious_next_step(server: Server, device: str, first: str | None) -> None:
    """On a phone, it is the store of an app that opens invites; on a computer, registering here."""
    _, url = await invited_by_alice(server)
    async with chromium() as browser:
        page = await open_page(browser, url, device=device)
        step = await page.locator("a.button").first.get_attribute("href")
        assert urlsplit(step).hostname == first if first else step == f"{urlsplit(url).path}/register"
        assert await page.locator("a[href^='xmpp:']").count() >= 1
        await press(page, "See other apps")
        others = await page.locator(".apps a").evaluate_all("links => links.map(link => link.href)")
        assert others and all(urlsplit(other).scheme == "https" for other in others)


@pytest.mark.one_setup
async def test_from_a_computer_to_the_phone(server: Server) -> None:
    """One QR code is the page, for cameras; the other is the invite, for the scanners of apps."""
    alice, url = await invited_by_alice(server)
    async with chromium() as browser:
        page = await open_page(browser, url, device="windows")
        assert await read_code(page.locator(".qr").first) == url
        await press(page, "Scan it with a chat app")
        invite = await read_code(page.locator("details .qr"))
    erin = Monal(server)
    await erin.join(invite, "erin", password_of("erin"))
    await become_contacts(alice, erin)


@pytest.mark.one_setup
async def test_a_taken_username_costs_nothing(server: Server) -> None:
    """A taken or impossible username is refused at once, with free ones beside it."""
    _, url = await invited_by_alice(server)
    async with chromium() as browser:
        page = await open_page(browser, f"{url}/register")
        await fill_in(page, username="Bob", password="kites and lamps")
        assert "The username Bob is already taken" in await text_of(page)
        assert "Still free: bob2, bob3, bob4" in await text_of(page)
        assert await page.get_by_label("username").input_value() == "bob2"
        for username, complaint in [("fr ank", "fr ank cannot be a username here"), ("frank\u202e", "cannot be a")]:
            await fill_in(page, username=username, password="kites and lamps")
            assert complaint in await text_of(page)
        await fill_in(page, username="frank", password="kites")
        assert "This password is too short" in await text_of(page)
        await fill_in(page, username="frank@example.org", password="kites and lamps")
        assert "Welcome, frank@example.org" in await text_of(page)


@pytest.mark.one_setup
async def test_a_reserved_username_is_shown_and_not_asked_for(server: Server) -> None:
    """The page shows the address that is reserved for them."""
    made = server.daemon.cli("generate", "example.org", "--username", "grace", "--contact", "alice@example.org")
    async with chromium() as browser:
        page = await open_page(browser, made.stdout.strip().splitlines()[0])
        assert "Your address will be grace@example.org" in await text_of(page)
        await press(page, "create my account in the browser")
        assert await page.get_by_label("Choose a username").count() == 0
        await fill_in(page, password="kites and lamps")
        assert "Welcome, grace@example.org" in await text_of(page)
