"""Somebody who has never heard of XMPP reads in this order what this is, who invites them and what to
do now: on every kind of page, and before that in the preview of the link."""

import os
import re
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.chromium import TABLET, chromium, fill_in, open_page
from harness.stories import generate, revoke
from harness.web import Visitor, text, web_settings

pytestmark = pytest.mark.one_setup

PNG = b"\x89PNG\r\n\x1a\n"
ANDROID = {"User-Agent": "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/126 Mobile Safari/537.36"}
INSTAGRAM = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 "
                           "Instagram 336"}
OWN = {"en": "The messenger of our school.", "de": "Der Messenger der Schule, von {name}."}


def invited(server, *options):
    """An invite of alice's."""
    return generate(server, "--contact", "alice@example.org", *options)


@pytest.mark.parametrize("language", ["en", "de", "ru"])
async def test_on_every_kind_of_page(web_server, language):
    visitor = Visitor(web_server, headers={"Accept-Language": language})
    invite, reset, ended = invited(web_server), generate(web_server, "--reset", "bob"), invited(web_server)
    revoke(web_server, ended)
    paths = [visitor.path(invite), visitor.path(invite, "apps"), visitor.path(invite, "register"), visitor.path(ended),
             visitor.path(reset), visitor.path(reset, "reset")]
    answers = [await visitor.get(path) for path in paths]
    answers.append(await visitor.register(invite, f"guest-{language}", "kites and lamps"))
    for answer in answers:
        assert answer.text.startswith(text("about", language=language, name="example.org")), answer.text
    for answer in (answers[0], answers[2], answers[3], answers[-1]):
        assert "alice@example.org" in answer.text
    nobodys = await visitor.get(visitor.path("A" * 24))
    assert nobodys.text.startswith(text("about", language=language, name="127.0.0.1")), nobodys.text


async def test_in_the_words_of_the_operator_in_each_language(make_server):
    """Readers of another language get the built-in sentence in theirs. A change shows after a reload."""
    server = make_server(settings=web_settings(name="Our <Chat>", about=OWN))
    invite = generate(server)

    async def reads(language):
        visitor = Visitor(server, headers={"Accept-Language": language})
        answer = await visitor.get(visitor.path(invite))
        [preview] = re.findall('<meta property="og:description" content="([^"]*)">', answer.body)
        return answer.text, unescape(preview)

    built_in = text("about", language="fr", name="Our <Chat>")
    for language, header, sentence in [
            ("en", f"Our <Chat> {OWN['en']}", OWN["en"]), ("de-AT", "", OWN["de"].format(name="Our <Chat>")),
            ("fr", built_in, built_in)]:
        page, preview = await reads(language)
        assert page.startswith(header or sentence) and preview.startswith(sentence), (page, preview)
    server.daemon.config["web"]["about"] = "One for all, {name}."
    server.daemon.reload()
    for language in ("en", "fr"):
        page, preview = await reads(language)
        assert page.startswith("One for all, Our <Chat>.") and preview.startswith("One for all, Our <Chat>."), page
    server.daemon.config["web"]["about"] = {"en": "One.", "jp": "Two."}
    said = server.daemon.reload()
    assert '[web] about: no page is in the language "jp"' in said, said
    assert (await reads("en"))[0].startswith("One for all"), "the pages stay as they were"


async def test_in_the_preview_of_a_link(web_server):
    """It has a picture at an address that is the same for every invite, and answers without the link."""
    visitor, pictures = Visitor(web_server), set()
    for invite in (invited(web_server), generate(web_server), invited(web_server, "--contact-only")):
        page = await visitor.get(visitor.path(invite))
        said = dict(re.findall('<meta property="og:([a-z_]+)" content="([^"]*)">', page.body))
        assert unescape(said["title"]) == page.heading
        assert unescape(said["description"]).startswith(text("about", name="example.org"))
        assert invite.token not in str(said)
        touch = re.findall('<link rel="apple-touch-icon" href="([^"]*)">', page.body)
        picture = unescape(said["image"])
        assert [unescape(path) for path in touch] == [urlsplit(picture).path]
        pictures.add(picture)
    [picture] = pictures
    assert picture == web_server.daemon.config["web"]["public_url"] + "/icon.png"
    for ask in (visitor.get, visitor.head):
        answer = await ask(urlsplit(picture).path)
        assert (answer.status, answer.header("Content-Type")) == (200, "image/png")
        assert "max-age" in answer.header("Cache-Control") and answer.header("Vary")
    assert PNG in (await visitor.get(urlsplit(picture).path)).raw


@pytest.mark.parametrize("device", ["android", "windows"])
async def test_apps_stand_where_the_step_says_get_one(web_server, device):
    """Each has a picture. The steps that follow come behind them."""
    url = web_server.daemon.config["web"]["public_url"] + f"/i/{invited(web_server).token}"
    async with chromium() as browser:
        page = await open_page(browser, url, device=device)
        if device == "android":
            assert await page.locator(".steps > li:first-child .apps a[href*='conversations']").count() > 0
        await page.goto(f"{url}/register")
        await fill_in(page, username=f"guest-on-{device}", password="kites and lamps")
        first = page.locator(".steps > li").first
        assert text("login_get_app") in await first.inner_text()
        assert await first.locator(".apps li").count() == await page.locator(".apps li").count() > 0
        for app in await first.locator(".apps li").all():
            picture, name = await app.locator(".tile").bounding_box(), await app.locator("h3").bounding_box()
            assert picture["width"] == picture["height"] >= 32 and picture["x"] < name["x"]


async def test_a_button_that_opens_an_app_says_in_which_it_does(web_server):
    """It also says what to do if none answers."""
    contact, both = invited(web_server, "--contact-only"), invited(web_server)
    for invite, page in [(contact, ""), (both, ""), (both, "apps")]:
        visitor = Visitor(web_server, headers=ANDROID)
        answer = await visitor.get(visitor.path(invite, page))
        assert text("works_with", apps="Conversations, Cheogram, yaxim") in answer.text
        assert text("nothing_happens") in answer.text and text("in_app") not in answer.text
        visitor = Visitor(web_server, headers=INSTAGRAM)
        answer = await visitor.get(visitor.path(invite, page))
        assert text("works_with", apps="Monal, Siskin IM") in answer.text
        assert text("in_app") in answer.text and text("nothing_happens") not in answer.text
        assert f"{text('copy_address')} {web_server.daemon.config['web']['public_url']}/i/{invite.token}" in answer.text
    visitor = Visitor(web_server, headers={"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/127.0"})
    answer = await visitor.get(visitor.path(both))
    assert invite.uri in unescape(answer.body) and text("nothing_happens") in answer.text


async def test_the_address_beside_a_code_is_copied_whole(web_server):
    """One press anywhere on it selects all of it, and nothing else, whatever hyphens are in it."""
    invite = generate(web_server, "--username", "mary-jane")
    url = web_server.daemon.config["web"]["public_url"] + f"/i/{invite.token}"
    async with chromium() as browser:
        page = await open_page(browser, url, device="windows", script=True)
        await page.locator("summary").click()
        copied = []
        for address in await page.locator(".copy").all():
            await address.click(position={"x": 60, "y": 20})
            copied.append(await page.evaluate("getSelection().toString()"))
        assert [one.strip() for one in copied] == [url, invite.uri]


async def test_the_operators_own_icons(make_server, tmp_path):
    """They are a part of the page, which stays small though every app has one."""
    picture = b"<svg xmlns='http://www.w3.org/2000/svg'><path d='M0 0h9v9z'/></svg>"
    apps = "".join(f"[[app]]\nname = 'App {number}'\non = ['android']\ninvites = true\nicon = 'app.svg'\n"
                   f"get = [{{ from = 'us', url = 'https://example.org/{number}' }}]\n" for number in range(8))
    (tmp_path / "apps.toml").write_text(apps)
    (tmp_path / "app.svg").write_bytes(picture + b" " * (3072 - len(picture)))
    (tmp_path / "icon.png").write_bytes(PNG + b"ours")
    server = make_server(settings=web_settings(templates=str(tmp_path)))
    visitor, invite = Visitor(server, headers=ANDROID), generate(server)
    page = await visitor.get(visitor.path(invite, "apps"))
    assert page.body.count('src="data:image/svg+xml;base64,PHN2Zy') == 8 and len(page.raw) < 50_000
    assert (await visitor.get("/join/icon.png")).raw.endswith(PNG + b"ours")
    (tmp_path / "app.svg").write_bytes(b" " * 3073)
    assert "app.svg: longer than 3072 bytes" in server.daemon.reload()


@pytest.mark.parametrize("accent", ["#ffffff", "#ffd200", "#000000"])
async def test_in_any_colour_of_the_operators(make_server, accent):
    """On a tablet in light and in dark, axe finds no text that is hard to read, and a button can be told
    from the page by its edge."""
    server = make_server(settings=web_settings(accent=accent))
    url = server.daemon.config["web"]["public_url"] + f"/i/{invited(server).token}"
    axe = (Path(os.environ["EASY_INVITE_NODE_PACKAGES"]) / "axe-core" / "axe.min.js").read_text()
    async with chromium() as browser:
        for scheme in ("light", "dark"):
            page = await open_page(browser, url, device="macos", size=TABLET, scheme=scheme, script=True)
            for path in ("", "/register"):
                await page.goto(url + path)
                await page.add_script_tag(content=axe)
                found = await page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']})")
                assert found["passes"] and not found["violations"], found["violations"]
                colours = await page.evaluate("""() => [
                    getComputedStyle(document.querySelector(".button")).borderTopColor,
                    getComputedStyle(document.querySelector("main")).backgroundColor]""")
                darker, lighter = sorted(luminance(*map(int, re.findall(r"\d+", colour))) for colour in colours)
                assert (lighter + 0.05) / (darker + 0.05) >= 3, colours


def luminance(*parts):
    """Relative luminance (WCAG 2.2)."""
    red, green, blue = (part / 3294.6 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
