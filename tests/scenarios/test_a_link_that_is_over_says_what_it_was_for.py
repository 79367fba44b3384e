"""A link for a new password, for a contact or for an account has ended. Its page says how it ended,
and what its reader can do now. Where registration is open, it says that nobody needs a link."""

import re
from html import unescape

import pytest

from harness.chromium import DESKTOP, PHONE, chromium, open_page, text_of
from harness.stories import generate, in_store, register, revoke, show, used
from harness.web import Visitor, text, web_settings

pytestmark = pytest.mark.one_setup

LANGUAGES = ["en", "de", "es", "fr", "it", "pl", "pt-BR", "ru"]
BOB, ALICE = "bob@example.org", "alice@example.org"


def words(key: str, language: str, **filled: str) -> str:
    """A text of the pages as `Answer.text` has it: with spaces of one kind."""
    return " ".join(text(key, language=language, **filled).split())


def expire(server, invite) -> None:
    """The invite has expired."""
    in_store(server, "UPDATE invite SET expires_at = created_at WHERE id = ?", show(server, invite)["id"])


async def test_a_link_for_a_new_password(web_server):
    """Used, expired, revoked, or overtaken by another: it speaks of the password, and warns."""
    used_up, revoked, overtaken = (generate(web_server, "--reset", "bob") for _ in range(3))
    revoke(web_server, revoked)
    visitor = Visitor(web_server)
    assert (await visitor.reset(used_up, "kites and lamps")).status == 200
    expired = generate(web_server, "--reset", "bob")
    expire(web_server, expired)
    for language in LANGUAGES:
        reader = Visitor(web_server, headers={"Accept-Language": language})

        def said(key: str) -> str:
            return words(key, language, account=BOB)

        page = await reader.get(reader.path(used_up))
        assert page.status == 410
        for key in ("used", "used_reset", "was_it_you", "was_it_you_reset", "not_you", "not_you_how"):
            assert said(key) in page.text, f"{language}: {key}"
        for invite, key in [(expired, "expired_reset"), (revoked, "revoked_reset"), (overtaken, "revoked_reset")]:
            page = await reader.get(reader.path(invite))
            assert page.status == 410 and said(key) in page.text, f"{language}: {key}"
            assert said("not_you_how") not in page.text
    page = await visitor.get(visitor.path(used_up, "reset"))
    [log_in] = [link for link in map(unescape, re.findall('href="([^"]*)"', page.body)) if "have=account" in link]
    assert (await visitor.get(log_in)).status == 200


async def test_a_link_for_an_account_or_a_contact(web_server):
    """It says nothing of a password. That for a contact speaks of the contact."""
    account, contact = generate(web_server), generate(web_server, "--contact", ALICE, "--contact-only")
    await register(web_server, "dave", account)
    in_store(web_server, "UPDATE invite SET uses = 1, taken = 1 WHERE id = ?", show(web_server, contact)["id"])
    for language in LANGUAGES:
        reader = Visitor(web_server, headers={"Accept-Language": language})
        pages = [await reader.get(reader.path(invite)) for invite in (account, contact)]
        assert words("used_text", language) in pages[0].text
        assert words("was_it_you_how", language, host="example.org") in pages[0].text
        assert words("used_contact", language, inviter=ALICE) in pages[1].text
        assert all(words("not_you_how", language) not in page.text for page in pages)
        assert all(words("open", language, host="example.org") not in page.text for page in pages)


async def test_the_account_behind_a_link_is_gone(make_server):
    """The one whose password it sets, or the one that made it; also before anybody has reported it."""
    server = make_server(settings=web_settings())
    reset, contact = generate(server, "--reset", "bob"), generate(server, "--contact", ALICE)
    visitor = Visitor(server)
    for username in ("bob", "alice"):
        folder = server.prosody.data_folder / "example%2eorg" / "accounts"
        (folder / f"{username}.dat").unlink()
    page = await visitor.get(visitor.path(reset))
    assert page.status == 410 and text("account_gone", account=BOB) in page.text, page.text
    assert (await visitor.get(visitor.path(reset, "reset"))).status == 410
    page = await visitor.get(visitor.path(contact))
    assert page.status == 410 and text("inviter_gone", inviter=ALICE, host="example.org") in page.text, page.text


@pytest.fixture(scope="module")
def open_hosts() -> dict:
    """Settings of a server whose first host lets anybody in."""
    settings = web_settings()
    settings["hosts"]["example.org"]["registration_invite_only"] = False
    return {**settings, "limits": {limit: "unlimited" for limit in ("wrong_tokens", "pages", "forms")}}


async def test_registration_is_open(make_server, open_hosts):
    """The page of a link for an account that is over, or was never known, says so and how. That of another
    link does not."""
    server = make_server(settings=open_hosts)
    used_up, expired, revoked, good = (generate(server) for _ in range(4))
    expire(server, expired)
    revoke(server, revoked)
    await register(server, "dave", used_up)
    await used(server, used_up)
    reset = generate(server, "--reset", "bob")
    revoke(server, reset)
    visitor = Visitor(server)
    for language in LANGUAGES:
        reader = Visitor(server, headers={"Accept-Language": language})
        is_open = words("open", language, host="example.org")
        for invite in (used_up, expired, revoked, "B" * 24, "short"):
            page = await reader.get(reader.path(invite))
            assert is_open in page.text and page.status in (404, 410), f"{language}: {page.text}"
            assert words("open_how", language, host="example.org") in page.text
        for invite in (good, reset):
            assert is_open not in (await reader.get(reader.path(invite))).text
    async with chromium() as browser:
        for device, size in (("android", PHONE), ("windows", DESKTOP)):
            page = await open_page(browser, server.daemon.config["web"]["public_url"] + "/i/" + "B" * 24,
                                   device=device, size=size)
            assert await page.locator("a.button").get_attribute("href") == "xmpp:example.org?register"
            assert await page.locator(".apps a").count() > 0
            assert text("open", host="example.org") in await text_of(page)
    await register(server, "erin")
    assert (await visitor.get(visitor.path("B" * 24, "register"))).status == 404


async def test_registration_is_open_at_some_hosts(make_server, open_hosts):
    """An unknown link may be of any host: those that are open are named. A known one is of its own."""
    hosts = {**open_hosts["hosts"], "closed.example": {"registration_invite_only": True}}
    server = make_server(settings={**open_hosts, "hosts": hosts})
    closed, visitor = generate(server, host="closed.example"), Visitor(server)
    revoke(server, closed)
    assert "is open" not in (await visitor.get(visitor.path(closed))).text
    page = await visitor.get(visitor.path("B" * 24))
    assert text("open", host="example.org") in page.text and text("open", host="closed.example") not in page.text
