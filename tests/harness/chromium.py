"""Debian's Chromium, driven as a person drives it: by reading, typing and pressing."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import zxingcpp
from PIL import Image
from playwright.async_api import Browser, Locator, Page, async_playwright

from .process import PATIENCE

# How browsers on each device identify themselves.
USER_AGENTS = {
    "android": "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
               "Mobile Safari/537.36",
    "ios": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
           "Version/17.5 Mobile/15E148 Safari/604.1",
    "windows": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
               "Safari/537.36",
    "macos": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
             "Safari/605.1.15",
    "linux": "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
}

# The browser may contact only the pages' own server.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]

PHONE, SMALL_PHONE, TABLET, DESKTOP = (360, 740), (320, 600), (768, 1024), (1280, 800)


@asynccontextmanager
async def chromium(*more: str) -> AsyncIterator[Browser]:
    """A browser with these further arguments, which ends with the block."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*ARGUMENTS, *more])
        try:
            yield browser
        finally:
            await browser.close()


async def open_page(browser: Browser, url: str, *, device: str = "android", language: str = "en",
                    scheme: str = "light", size: tuple[int, int] | None = None, script: bool = False) -> Page:
    """Opens a page in its own window with its own cookies, as from a link in a chat message.

    Without `script`, the browser runs no JavaScript. With it, a test can also put its own into the
    page.
    """
    width, height = size or (PHONE if device in ("android", "ios") else DESKTOP)
    window = await browser.new_context(user_agent=USER_AGENTS[device], locale=language, color_scheme=scheme,
                                       viewport={"width": width, "height": height}, java_script_enabled=script,
                                       bypass_csp=script)
    window.set_default_timeout(1000 * PATIENCE)
    page = await window.new_page()
    await page.goto(url)
    return page


async def text_of(page: Page) -> str:
    """The text that a person reads on the page, in one line."""
    return " ".join((await page.inner_text("body")).split())


async def press(page: Page, text: str) -> None:
    """Presses the link or button with this text."""
    await page.locator("a, button, summary").filter(has_text=text).first.click()


async def fill_in(page: Page, *, username: str | None = None, password: str | None = None) -> str:
    """Fills in and sends the form of an account, with the offered password unless one is given.
    Returns the password."""
    if username is not None:
        await page.locator("#username").fill(username)
    if password is None:
        made = page.locator("code")
        password = await made.inner_text()
        await page.locator("input[type=radio][value=offered]").check()
    else:
        await page.locator("input[type=password]").fill(password)
    await page.locator("button[type=submit]").click()
    return password


async def read_code(code: Locator) -> str:
    """The text of a QR code on the screen, as a camera reads it."""
    read = codes_in(Image.open(io.BytesIO(await code.screenshot(scale="css"))))
    assert len(read) == 1, f"{len(read)} codes in the picture"
    return read[0]


def codes_in(picture: Image.Image) -> list[str]:
    """The texts of the QR codes in a picture."""
    return [code.text for code in zxingcpp.read_barcodes(picture)]
