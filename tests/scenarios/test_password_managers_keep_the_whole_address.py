"""A password manager keeps the whole address, which chat apps ask for: where the name is fixed, for
a new password, and where it is chosen, if the whole address is typed. That stays in the field after
a mistake. The address of another host is a mistake, and no name."""

import asyncio
import re
import sqlite3
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from harness.chromium import ARGUMENTS
from harness.process import free_port
from harness.stories import eventually, generate, has_account
from harness.web import Visitor, text

PASSWORD = "kites and lamps"


@pytest.mark.parametrize("number, typed", enumerate([
    "{}@example.org", "{}@EXAMPLE.org.", " {}@example.org ", "{} @ example.org", "xmpp:{}@example.org",
    "{}@example.org/phone", "{}＠example.org", "@{}", "<{}@example.org>", "mailto:{}@example.org", "XMPP:{}@example.org",
    "{}@example.org,", "\u202a{}@example.org\u202c", '"{}"@example.org']))
async def test_the_whole_address_is_understood(web_server, number, typed):
    name = f"address-{number}"
    invite, visitor = generate(web_server), Visitor(web_server)
    form = await visitor.filled_in(invite, typed.format(name), "short")
    again = await visitor.post(visitor.path(invite, "register"), form)
    assert again.status == 422 and again.fields["username"] == f"{name}@example.org"
    done = await visitor.post(visitor.path(invite, "register"), {**again.fields, "password": PASSWORD})
    assert done.status == 200 and await has_account(web_server, name, password=PASSWORD)


async def test_a_free_name_is_offered_with_the_host_too(web_server):
    visitor = Visitor(web_server)
    taken = await visitor.register(generate(web_server), "alice@example.org", PASSWORD)
    assert taken.status == 409 and re.fullmatch(r"alice\d@example\.org", taken.fields["username"])


@pytest.mark.parametrize("typed", ["carol@elsewhere.example", "carol@example.org@elsewhere.example",
                                   "carol@sub.example.org", "carol@@elsewhere.example"])
async def test_an_address_elsewhere_is_a_mistake(web_server, typed):
    answer = await Visitor(web_server).register(generate(web_server), typed, PASSWORD)
    assert answer.status == 422 and text("username_elsewhere", host="example.org") in answer.text
    assert answer.fields["username"] == typed


@pytest.mark.parametrize("page, arguments", [("register", ["--username", "fixed"]), ("reset", ["--reset", "bob"])])
async def test_a_fixed_name_is_there_in_full(web_server, page, arguments):
    visitor = Visitor(web_server)
    form = await visitor.get(visitor.path(generate(web_server, *arguments), page))
    assert form.fields["shown-username"] == f"{arguments[1]}@example.org"
    assert re.search(r'name="shown-username" autocomplete="username"', form.body)
    assert re.search(r'type="password"[^>]*autocomplete="new-password"', form.body)


@pytest.mark.one_setup
@pytest.mark.seconds(180)
async def test_in_chromium(web_server, tmp_path):
    """Its own password manager, when somebody presses "Save", also after a mistake."""
    def page_of(*arguments):
        return web_server.daemon.cli("generate", "example.org", *arguments).stdout.split()[0] + "/register"

    for number, (url, typed, kept) in enumerate([
            (page_of("--username", "kept"), None, "kept@example.org"),
            (page_of("--reset", "bob"), None, "bob@example.org"),
            (page_of(), "dora@example.org", "dora@example.org")]):
        assert await kept_by_chromium(tmp_path / str(number), url, typed) == [kept]


async def kept_by_chromium(profile: Path, url: str, typed: str | None) -> list[str]:
    """The usernames that Chromium has saved after a form was sent, for the
    second time with a good password, and with this typed as the username."""
    async with screen() as display, async_playwright() as playwright:
        browser = await playwright.chromium.launch_persistent_context(
            profile, executable_path="/usr/bin/chromium", headless=False, no_viewport=True,
            env={"DISPLAY": display}, ignore_default_args=["--enable-automation", "--disable-infobars"],
            args=[*ARGUMENTS, "--password-store=basic"])
        page = await browser.new_page()
        await page.goto(url)
        if typed is not None:
            await page.locator("#username").fill(typed)
        for password in ("short", PASSWORD):
            await page.locator("#password").fill(password)
            await page.locator("button[type=submit]").click()
        await page.locator(".account").wait_for()
        store = profile / "Default" / "Login Data"

        async def saved() -> bool:
            for key in ("alt+shift+a", "Return"):  # to the question whether to save it, and "Save"
                await asyncio.to_thread(subprocess.run, ["xdotool", "key", key], env={"DISPLAY": display}, check=True)
            return bool(in_login_data(store))

        await eventually(saved, "Chromium has saved the password")
        await browser.close()
    return in_login_data(store)


def in_login_data(store: Path) -> list[str]:
    with sqlite3.connect(f"file:{store}?mode=ro&immutable=1", uri=True) as logins:
        return [username for username, in logins.execute("SELECT username_value FROM logins")]


@asynccontextmanager
async def screen():
    """A screen that nobody sees, as the value of DISPLAY."""
    display = f":{free_port()}"
    server = await asyncio.create_subprocess_exec("Xvfb", display, "-screen", "0", "1000x700x24", "-nolisten", "tcp",
                                                  stderr=asyncio.subprocess.DEVNULL)
    try:
        await eventually(lambda: Path(f"/tmp/.X11-unix/X{display[1:]}").exists(), "the screen is there")
        yield display
    finally:
        server.terminate()
        await server.wait()
