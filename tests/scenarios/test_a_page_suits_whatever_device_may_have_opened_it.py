"""Tablets pass for computers: an iPad says that it is a Mac, and Android says Linux when it asks
for a desktop page. A page that may be read on either serves both. A page whose device is known
names no other."""

import pytest

from harness.chromium import chromium, fill_in, open_page, press, read_code, text_of
from harness.stories import generate
from harness.web import Visitor, text

pytestmark = pytest.mark.one_setup

MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
APP_OF_IOS, APP_OF_MACOS, APP_OF_ANDROID = "id317711500", "id1637078500", "eu.siacs.conversations"
IPAD = (820, 1180)


@pytest.mark.parametrize(("device", "apps", "names"), [
    ("macos", [APP_OF_MACOS, APP_OF_IOS], "Mac, iPhone and iPad"), ("linux", [APP_OF_ANDROID], "Linux, Android")])
async def test_a_tablet_that_passes_for_a_computer(web_server, device: str, apps: list[str], names: str) -> None:
    """Its page gets the app, opens the invite in it, registers without one, and has the QR code."""
    invite = generate(web_server, "--contact", "alice@example.org")
    url = web_server.daemon.config["web"]["public_url"] + f"/i/{invite.token}"
    async with chromium() as browser:
        page = await open_page(browser, url, device=device, size=IPAD)
        buttons = await page.locator("a.button:visible").evaluate_all("links => links.map(link => link.href)")
        assert invite.uri in buttons and f"{url}/register" in buttons
        assert await read_code(page.locator(".qr").first) == url
        await press(page, text("other_apps"))
        assert await page.inner_text("h1") == text("apps_for", device=names)
        further = await page.locator(".apps a").evaluate_all("links => links.map(link => link.href)")
        await page.goto(f"{url}/register")
        await fill_in(page, username=f"guest-on-{device}", password="kites and lamps")
        after = await page.locator(".apps a").evaluate_all("links => links.map(link => link.href)")
        for links in (buttons, further, after):
            assert all(any(app in link for link in links) for app in apps), links
        if device == "macos":
            assert "Monal Mac" in await text_of(page) and "Monal iPhone and iPad" in await text_of(page)


@pytest.mark.parametrize(("headers", "on_phone", "apps"), [
    ({"User-Agent": MAC + " Version/17.5 Safari/605.1.15"}, False, {APP_OF_IOS, APP_OF_MACOS}),
    ({"User-Agent": MAC + " Chrome/126.0.0.0 Safari/537.36", "Sec-CH-UA-Platform": '"macOS"'}, False, {APP_OF_MACOS}),
    ({"User-Agent": MAC + " CriOS/126 Version/11.1.1 Safari/605.1.15"}, True, {APP_OF_IOS}),
    ({"User-Agent": LINUX}, False, {APP_OF_ANDROID}),
    ({"User-Agent": LINUX + " SamsungBrowser/25.0"}, True, {APP_OF_ANDROID}),
    ({"User-Agent": LINUX, "Sec-CH-UA-Platform": '"Android"', "Sec-CH-UA-Mobile": "?0"}, True, {APP_OF_ANDROID}),
    ({"User-Agent": LINUX, "Sec-CH-UA-Platform": '"Linux"', "Sec-CH-UA-Mobile": "?1"}, True, {APP_OF_ANDROID}),
    ({"User-Agent": LINUX.replace("Linux", "CrOS")}, False, {APP_OF_ANDROID}),
    ({"User-Agent": "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Lumia 950) AppleWebKit/537.36 Edge/15"}, False,
     {APP_OF_ANDROID, APP_OF_IOS, APP_OF_MACOS}),
    ({"User-Agent": "WhatsApp/2.23.20.0"}, False, {APP_OF_ANDROID, APP_OF_IOS, APP_OF_MACOS}),
    ({}, False, {APP_OF_ANDROID, APP_OF_IOS, APP_OF_MACOS}),
    ({"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0"}, False, set()),
])
async def test_a_browser(web_server, headers: dict[str, str], on_phone: bool, apps: set[str]) -> None:
    """Its page has the apps for what it may be on, and steps for a phone only where it is one."""
    invite, visitor = generate(web_server), Visitor(web_server, headers=headers)
    page = await visitor.get(visitor.path(invite))
    assert {app for app in (APP_OF_ANDROID, APP_OF_IOS, APP_OF_MACOS) if app in page.body} == apps
    assert (text("step_get_app") in page.text) == on_phone
    assert "Sec-CH-UA-Platform" in page.header("Vary")


@pytest.mark.parametrize(("agent", "in_app"), [
    (IPHONE + " Mobile/15E148 Instagram 336.0.0.35.90 (iPhone14,5; iOS 17_5; en_US)", True),
    (IPHONE + " Version/17.5 Mobile/15E148 Safari/604.1", False),
    (MAC, True),
    ("Mozilla/5.0 (Linux; Android 14; K; wv) AppleWebKit/537.36 Version/4.0 Chrome/126 Mobile Safari/537.36", True),
])
async def test_a_browser_that_is_a_part_of_another_app(web_server, agent: str, in_app: bool) -> None:
    """It may open no further app: the page says what to do then."""
    invite, visitor = generate(web_server), Visitor(web_server, headers={"User-Agent": agent})
    for page in (await visitor.get(visitor.path(invite)), await visitor.get(visitor.path(invite, "apps"))):
        assert (text("in_app") in page.text) == in_app
