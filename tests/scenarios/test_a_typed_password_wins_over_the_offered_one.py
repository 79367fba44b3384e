"""Somebody who ticks "use this one" and types a password all the same gets the password that they
typed. If they type none, the account gets the offered password, which the welcome page shows
once."""

import asyncio
from contextlib import suppress

import pytest
from playwright.async_api import Error

from harness.chromium import chromium, open_page, text_of
from harness.stories import generate, has_account, show, used
from harness.web import Visitor, text

COPY = text("password_offered_copy")
CHOSEN = text("login_enter_password")
TYPED = "kites and lamps"
PAGES = pytest.mark.parametrize("page", ["register", "reset"])


async def ticked(server, username, password, page="register"):
    """A visitor with a form for an account, where "use this one" is ticked and this is typed."""
    invite = generate(server, *(["--reset", "bob"] if page == "reset" else []))
    visitor = Visitor(server)
    form = await visitor.filled_in(invite, None if page == "reset" else username, password, page=page)
    return visitor, invite, visitor.path(invite, page), {**form, "choice": "offered"}


@PAGES
async def test_what_was_typed_is_the_password(web_server, page):
    username = "bob" if page == "reset" else "typist"
    visitor, _, path, form = await ticked(web_server, username, TYPED, page)
    done = await visitor.post(path, form)
    assert done.status == 200 and CHOSEN in done.text
    assert form["offered"] not in done.body and COPY not in done.text
    assert await has_account(web_server, username, password=TYPED)
    assert not await has_account(web_server, username, password=form["offered"])


@PAGES
async def test_the_offered_one_is_shown_once(web_server, page):
    username = "bob" if page == "reset" else "taker"
    visitor, invite, path, form = await ticked(web_server, username, "", page)
    done = await visitor.post(path, form)
    assert done.status == 200 and form["offered"] in done.text and COPY in done.text and CHOSEN not in done.text
    assert "no-store" in done.header("Cache-Control")
    assert await has_account(web_server, username, password=form["offered"])
    again = await visitor.post(path, form)
    assert (again.status, again.heading) == (200, done.heading)
    assert form["offered"] not in again.body and CHOSEN not in again.text
    assert all(form["offered"] not in part for part in (*visitor.cookies.values(), *map(str, done.headers)))
    assert form["offered"] not in web_server.daemon.log + web_server.prosody.log
    await used(web_server, invite)


async def test_a_page_that_was_lost_is_shown_again(web_server):
    visitor, _, path, form = await ticked(web_server, "tapper", "")
    answers = await asyncio.gather(*[visitor.post(path, form) for _ in range(3)])
    assert all(form["offered"] in answer.text for answer in answers)
    visitor, _, path, form = await ticked(web_server, "unlucky", "")
    before = dict(visitor.cookies)
    await visitor.post(path, form)
    visitor.cookies = before  # the answer never came
    assert form["offered"] in (await visitor.post(path, form)).text


@pytest.mark.parametrize("typed, said", [(" ", "password_short"), ("short", "password_short"),
                                         (12 * " ", None), ("password", "password_weak")])
async def test_a_mistake_does_not_become_the_offered_one(web_server, typed, said):
    visitor, invite, path, form = await ticked(web_server, "hasty", typed)
    again = await visitor.post(path, form)
    assert again.status == 422 and (text(said) if said else "space") in again.text
    assert again.fields["choice"] == "own" and again.fields["offered"] == form["offered"]
    assert again.fields["password"] == ""
    assert show(web_server, invite)["uses"] == 0


async def test_the_offer_stays_the_same_after_a_mistake(web_server):
    visitor, _, path, form = await ticked(web_server, "alice", "short")
    again = await visitor.post(path, form)
    for sent in ({"username": "alice"}, {"username": "alice", "choice": "offered"}, {"username": ""}):
        again = await visitor.post(path, {**again.fields, **sent})
        assert again.status in (409, 422) and again.fields["offered"] == form["offered"]
    done = await visitor.post(path, {**again.fields, "username": "steady", "choice": "offered"})
    assert done.status == 200 and form["offered"] in done.text
    assert await has_account(web_server, "steady", password=form["offered"])


@pytest.mark.seconds(120)
async def test_in_a_browser(web_server):
    """Neither a reload nor the way back and forward shows the offered password again."""
    url, other = (web_server.daemon.cli("generate", "example.org").stdout.split()[0] for _ in range(2))
    async with chromium() as browser:
        page = await open_page(browser, f"{url}/register", device="windows")
        offered = await page.locator("code").inner_text()
        await page.locator("#username").fill("reader")
        await page.locator("input[value=offered]").check()
        await page.locator("button[type=submit]").click()
        assert offered in await text_of(page) and COPY in await text_of(page)
        assert offered not in page.url
        assert await has_account(web_server, "reader", password=offered)
        for move in (page.reload, page.go_back, page.go_forward):
            with suppress(Error):  # Chromium asks first whether to send the form again
                await move()
            assert offered not in await text_of(page), move
        page = await open_page(browser, f"{other}/register", device="windows")
        await page.locator("#username").fill("writer")
        await page.locator("input[value=offered]").check()
        await page.locator("#password").fill(TYPED)
        await page.locator("button[type=submit]").click()
        assert CHOSEN in await text_of(page) and COPY not in await text_of(page)
    assert await has_account(web_server, "writer", password=TYPED)
