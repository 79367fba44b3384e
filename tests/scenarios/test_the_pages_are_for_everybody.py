"""Everybody can read and use the pages: on small and large screens and on paper, by keyboard and screen
reader, in light and dark, in languages from right to left, without the style, and on a bad connection."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pypdfium2
import pytest

from harness.chromium import DESKTOP, PHONE, SMALL_PHONE, chromium, codes_in, fill_in, open_page, read_code, text_of
from harness.daemon import REPOSITORY
from harness.prosody import INSTALLED
from harness.server import Server
from harness.web import web_settings

pytestmark = pytest.mark.seconds(300)

LANGUAGES = sorted(file.stem for file in (REPOSITORY / "languages").glob("*.toml"))
RIGHT_TO_LEFT = ["ar", "fa", "he"]
WIDTHS = [SMALL_PHONE[0], 390, 768, 1280]
PAGE_BYTES = 50_000
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a logo and one more language from right to left.
    Prosody and the store do not affect the look of pages."""
    folder = tmp_path_factory.mktemp("look")
    english = (REPOSITORY / "languages" / "en.toml").read_text()
    head, texts = english.replace('direction = "ltr"', 'direction = "rtl"').split("[refusal]")
    # Every address has Arabic letters on both sides.
    around = re.sub("[{][a-z_]+[}]", r"قال \g<0> قال", texts)
    (folder / "languages").mkdir()
    (folder / "languages" / "fa.toml").write_text(f"{head}[refusal]{around}")
    logo = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>'
    (folder / "logo.svg").write_text(logo)
    look = {"name": "Example Chat", "logo": str(folder / "logo.svg"), "templates": str(folder),
            "imprint": "https://example.org/imprint", "terms": "https://example.org/terms"}
    settings = {**web_settings(**look), "limits": {"pages": "unlimited", "forms": "unlimited"}}
    with Server(INSTALLED, tmp_path_factory.mktemp("server"), settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def pages(server: Server) -> dict[str, str]:
    """The address of each kind of page."""
    def link(*arguments: str) -> str:
        made = server.daemon.cli("generate", "example.org", *arguments)
        assert made.returncode == 0, made.stderr
        return made.stdout.split()[0]

    both, revoked = link("--contact", "alice@example.org", "--uses", "100"), link()
    assert server.daemon.cli("revoke", revoked).returncode == 0
    contact, reset = link("--contact", "alice@example.org", "--contact-only"), link("--reset", "bob")
    long_name = link("--username", "a-rather-long-username-with-hyphens-that-is-still-allowed")
    return {"landing": both, "apps": f"{both}/apps", "login": f"{both}/apps?have=account",
            "register": f"{both}/register", "contact": contact, "landing-reset": reset, "reset": f"{reset}/reset",
            "landing-long": long_name, "register-long": f"{long_name}/register", "account": link(),
            "revoked": revoked, "unknown": both[:-24] + 24 * "x"}


async def every_page(browser, pages: dict[str, str], check: Callable, **window: object) -> None:
    """Checks each page in such a window, and also the form with a mistake and the welcome."""
    page = await open_page(browser, "about:blank", script=True, **window)
    for name, url in pages.items():
        await page.goto(url)
        await check(name, page)
        if name == "register":
            for mistake, username in ("taken", "bob"), ("mistake", "b/b"):
                await fill_in(page, username=username, password="kites and lamps")
                is_wrong = await page.get_attribute("#username", "aria-invalid") is not None
                assert is_wrong == (mistake == "mistake"), "what is offered instead of bob is free"
                await check(mistake, page)
            await fill_in(page, username=f"guest{os.urandom(4).hex()}")
            assert await page.locator(".account").count() == 1, await text_of(page)
            await check("welcome", page)


@pytest.mark.parametrize(("device", "size", "scheme", "language"), [
    ("android", PHONE, "light", "en"), ("android", PHONE, "dark", "ar"), ("android", PHONE, "dark", "zh"),
    ("windows", DESKTOP, "light", "he"), ("windows", DESKTOP, "dark", "en")])
async def test_no_page_has_a_barrier(pages: dict[str, str], device: str, size: tuple[int, int], scheme: str,
                                     language: str) -> None:
    """axe finds no violation of WCAG 2.2 AA or of its own best practices."""
    axe = (Path(os.environ["EASY_INVITE_NODE_PACKAGES"]) / "axe-core" / "axe.min.js").read_text()
    complaints: list[str] = []

    async def look(name: str, page) -> None:
        await page.add_script_tag(content=axe)
        found = await page.evaluate("tags => axe.run({runOnly: tags})", STANDARDS)
        assert found["passes"], "axe looked at nothing"
        for violation in found["violations"]:
            where = [node["html"][:120] for node in violation["nodes"]]
            complaints.append(f"{name}: {violation['id']}: {violation['help']}: {where}")

    async with chromium() as browser:
        await every_page(browser, pages, look, device=device, size=size, scheme=scheme, language=language)
    assert not complaints, "\n".join(complaints)


# What does not fit: the page, or the text of a button.
TOO_WIDE = """[document.documentElement, ...document.querySelectorAll(".button")]
    .filter(part => part.scrollWidth > part.clientWidth).map(part => `${part.scrollWidth} px: ${part.innerText}`)"""


@pytest.mark.parametrize("language", [*LANGUAGES, "fa"])
async def test_no_page_is_wider_than_the_screen(pages: dict[str, str], language: str) -> None:
    """In no language and on no screen, from 320 px on, anything has to be scrolled sideways or runs out of its
    button. The page runs as its language does."""
    direction = "rtl" if language in RIGHT_TO_LEFT else "ltr"

    async def look(name: str, page) -> None:
        assert await page.get_attribute("html", "lang") == language
        assert await page.evaluate("getComputedStyle(document.body).direction") == direction
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 800})
            wide = await page.evaluate(TOO_WIDE)
            assert not wide, f"{name} on {width} px: {wide}"

    usual = {name: pages[name] for name in ("landing", "apps", "login", "register", "contact", "landing-reset")}
    async with chromium() as browser:
        seen = pages if language in ("en", "ar") else usual
        await every_page(browser, seen, look, device="android", size=SMALL_PHONE, language=language)


async def test_languages_from_right_to_left_are_laid_out_so(pages: dict[str, str]) -> None:
    """The number of a step stands to the right of its text, and letters that are joined are not pushed together."""
    async with chromium() as browser:
        sides = {}
        for language in ("en", "ar", "he"):
            page = await open_page(browser, pages["landing"], language=language)
            step, heading = page.locator(".steps > li").first, page.locator(".steps h2").first
            outer, inner = await step.bounding_box(), await heading.bounding_box()
            sides[language] = inner["x"] - outer["x"], outer["x"] + outer["width"] - inner["x"] - inner["width"]
            spacing = await page.locator("h1").evaluate("it => getComputedStyle(it).letterSpacing")
            assert (spacing == "normal") == (language != "en")
        assert sides["en"][0] > 30 > sides["en"][1], sides
        assert all(sides[language][1] > 30 > sides[language][0] for language in ("ar", "he")), sides


# The places of the characters of every address on the page, each in its lines.
PLACES = """() => {
    const found = [];
    for (const block of document.querySelectorAll("main :is(h1, h2, p, li, legend, label, div.address, code)")) {
        const nodes = [];
        const within = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
        while (within.nextNode()) for (let at = 0; at < within.currentNode.length; at++)
            nodes.push([within.currentNode, at]);
        const text = nodes.map(([node, at]) => node.data[at]).join("");
        for (const match of text.matchAll(/[^\\s(]*@?example[.]org|-wörner-[/]|[a-z2-9]{4}(-[a-z2-9]{4}){3}/g)) {
            const places = nodes.slice(match.index, match.index + match[0].length).map(([node, at]) => {
                const range = document.createRange();
                range.setStart(node, at);
                range.setEnd(node, at + 1);
                const {left, top} = range.getBoundingClientRect();
                return [left, top];
            });
            found.push([match[0], places]);
        }
    }
    return found;
}"""


async def test_addresses_run_from_left_to_right_in_every_language(server: Server, pages: dict[str, str]) -> None:
    """So they do with signs at their ends, and with a name in Arabic letters, and so do the fields for
    them."""
    made = server.daemon.cli("generate", "example.org", "--username", "سلام")
    arabic, seen = {"arabic": made.stdout.split()[0]}, 0

    async def look(name: str, page) -> None:
        nonlocal seen
        for address, places in await page.evaluate(PLACES):
            latin = [place for letter, place in zip(address, places) if letter < "\u0590"]
            assert latin == sorted(latin, key=lambda place: (place[1], place[0])), f"{name}: {address} {places}"
            after = address.find("@")
            assert after < 1 or places[after][::-1] > max(place[::-1] for place in places[:after]), f"{name}: {address}"
            seen += 1
        for field in await page.locator("input:is([type=text], [type=password])").all():
            assert await field.evaluate("field => getComputedStyle(field).direction") == "ltr", name

    async with chromium() as browser:
        window = {"device": "windows", "language": "fa"}
        await every_page(browser, pages | arabic | {"arabic-form": f"{arabic['arabic']}/register"}, look, **window)
        page = await open_page(browser, pages["register"], script=True, **window)
        places = [await page.locator(part).bounding_box() for part in ("#username", ".address > bdi")]
        assert places[0]["x"] < places[1]["x"], "the name stands before the host"
        await fill_in(page, username="-wörner-/", password="kites and lamps")
        await look("mistaken", page)
    assert seen > 30


async def test_an_address_does_not_break_behind_a_hyphen(server: Server, pages: dict[str, str]) -> None:
    """It goes on one line if it fits on one, and is copied as it is."""
    address = "mary-jane-fox@example.org"
    made = server.daemon.cli("generate", "example.org", "--username", "mary-jane-fox")
    lines_of = """address => {
        const shown = [...document.querySelectorAll("main bdi")].filter(bdi => bdi.textContent === address);
        return shown.map(bdi => {
            getSelection().selectAllChildren(bdi);
            const tops = new Set([...bdi.getClientRects()].map(rect => Math.round(rect.top)));
            return [tops.size, getSelection().toString()];
        });
    }"""
    async with chromium() as browser:
        for url in (made.stdout.split()[0], made.stdout.split()[0] + "/register"):
            page = await open_page(browser, url, script=True)
            for width in range(SMALL_PHONE[0], 480, 12):
                await page.set_viewport_size({"width": width, "height": 800})
                found = await page.evaluate(lines_of, address)
                assert found and all(shown == [1, address] for shown in found), f"{width} px: {found}"
        page = await open_page(browser, f"{pages['landing']}/register", script=True)
        await fill_in(page, username="mary-jane-fox", password="kites and lamps")
        assert "reserved" in await text_of(page)
        for width in range(SMALL_PHONE[0], 480, 12):
            await page.set_viewport_size({"width": width, "height": 800})
            found = await page.evaluate(lines_of, "mary-jane-fox")
            assert found and all(shown == [1, "mary-jane-fox"] for shown in found), f"{width} px: {found}"


async def test_a_page_and_its_style_are_one_small_request(pages: dict[str, str]) -> None:
    """Nothing else is fetched but the operator's own logo."""
    asked: list[str] = []

    async def look(name: str, page) -> None:
        size = len((await page.content()).encode())
        assert size < PAGE_BYTES, f"{name} has {size} bytes"

    async with chromium() as browser:
        for name, url in pages.items():
            page = await open_page(browser, "about:blank", device="windows")
            page.on("request", lambda request: asked.append(request.url))
            await page.goto(url)
            await look(name, page)
            fetched = [one for one in asked if not one.startswith("data:")]
            assert fetched == [url, f"{url.split('/i/')[0]}/logo"], name
            asked.clear()


@pytest.mark.parametrize(("device", "scheme", "language", "paper"), [
    ("windows", "dark", "ru", "A4"), ("macos", "light", "de", "Letter"), ("android", "dark", "fa", "A4"),
    ("ios", "light", "en", "Letter")])
async def test_an_invite_is_printed_on_one_page(
        pages: dict[str, str], device: str, scheme: str, language: str, paper: str) -> None:
    """It has the invite in words, until when it is good, its link and its code, in black on white. Printers
    leave backgrounds out."""
    words = {"landing": "alice@example.org", "contact": "alice@example.org", "account": "example.org",
             "landing-reset": "bob@example.org", "landing-long": "a-rather-long-username-with-hyphens"}
    async with chromium() as browser:
        for name, said in words.items():
            page = await open_page(browser, pages[name], device=device, scheme=scheme, language=language)
            printed = pypdfium2.PdfDocument(await page.pdf(format=paper))
            assert len(printed) == 1, name
            read = "".join(printed[0].get_textpage().get_text_range().split())
            assert said in read and pages[name] in read, f"{name}: {read}"
            assert re.search(r"20\d\d\D{1,4}\d\d:\d\d", read), f"{name}: {read}"
            picture = printed[0].render(scale=2).to_pil().convert("L")
            assert codes_in(picture) == [pages[name]], name
            tones = picture.histogram()
            assert tones[255] > sum(tones) / 2, "the paper is white"
            assert sum(tones[:32]) > sum(tones[32:224]), "what is printed is black"


async def test_a_printed_page_has_nothing_to_press(pages: dict[str, str]) -> None:
    """Links and buttons are for screens. Every page is black on white there, also after dark."""
    async def look(name: str, page) -> None:
        await page.emulate_media(media="print")
        assert await page.locator(".button:visible, summary:visible").count() == 0, name
        assert await page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(0, 0, 0)", name
        for line in await page.locator("main *:visible").all():
            assert not (await line.evaluate("e => getComputedStyle(e).color")).startswith("rgb(2"), name
        await page.emulate_media(media="screen")

    async with chromium() as browser:
        await every_page(browser, pages, look, device="windows", scheme="dark")


@pytest.mark.parametrize("device", ["windows", "android"])
async def test_without_the_style_every_page_can_be_read(pages: dict[str, str], device: str) -> None:
    """Images have a size, codes can be scanned, and what to do next comes before other ways."""
    async def look(name: str, page) -> None:
        await page.evaluate("document.querySelectorAll('style').forEach(style => style.remove())")
        for image in await page.locator("svg:visible, img").all():
            size = await image.bounding_box()
            assert max(size["width"], size["height"]) <= 300, f"{name}: {size}"
        for code in await page.locator(".qr:visible").all():
            assert (await read_code(code)).startswith(pages[name] if name in ("landing", "contact") else "http"), name

    async with chromium() as browser:
        await every_page(browser, pages, look, device=device)


async def test_the_keyboard_is_enough(pages: dict[str, str]) -> None:
    """Tab leads to the next step first and shows the focus,
    and Enter goes on, through the form to the account."""
    async def focused(page) -> str:
        seen = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert seen != "none", "the focus is invisible"
        return await page.evaluate("document.activeElement.name || document.activeElement.innerText")

    async with chromium() as browser:
        page = await open_page(browser, pages["landing"], device="windows", script=True)
        await page.keyboard.press("Tab")
        assert "Create my account" in await focused(page)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/register")
        await page.keyboard.press("Tab")
        assert await focused(page) == "username"
        await page.keyboard.type("henry")
        await page.keyboard.press("Tab")
        assert await focused(page) == "choice"
        await page.keyboard.press("Tab")
        assert await focused(page) == "password"
        await page.keyboard.type("kites and lamps")
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        assert "Welcome, henry@example.org" in await text_of(page)


async def test_the_pages_are_valid_html(pages: dict[str, str], tmp_path: Path) -> None:
    """html-validate finds no error."""
    async def keep(name: str, page) -> None:
        answer = await page.request.get(page.url) if name not in ("taken", "mistake", "welcome") else None
        text = await answer.text() if answer else await page.content()
        (tmp_path / f"{name}.html").write_text(text)

    async with chromium() as browser:
        await every_page(browser, pages, keep, device="windows")
    (tmp_path / ".htmlvalidate.json").write_text(json.dumps({"root": True, "extends": ["html-validate:standard"]}))
    program = Path(os.environ["EASY_INVITE_NODE_PACKAGES"]) / ".bin" / "html-validate"
    files = sorted(map(str, tmp_path.glob("*.html")))
    assert len(files) == len(pages) + 3
    checked = subprocess.run([program, "--formatter", "text", *files], capture_output=True, text=True, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
