"""A user who has forgotten their password opens a reset link in the browser."""

import pytest

from harness.chromium import chromium, fill_in, open_page, press, text_of
from harness.stories import has_account, password_of
from harness.web import web_settings

pytestmark = pytest.mark.seconds(120)


async def test_a_reset_link_sets_a_password_once_and_ends_old_sessions(make_server) -> None:
    """The new password works and the old one does not. Open sessions and the link end."""
    server = make_server(settings=web_settings())
    url = server.daemon.cli("generate", "example.org", "--reset", "bob").stdout.strip().splitlines()[0]
    old_session = await server.login("bob")
    async with chromium() as browser:
        page = await open_page(browser, f"{url}/register", device="windows")
        assert page.url == f"{url}/reset", "the form for a new account must lead to the one for a password"
        await press(page, "Back")
        assert "A new password for bob@example.org" in await text_of(page)
        await page.locator("a.button").click()
        password = await fill_in(page)
        assert "You have a new password" in await text_of(page)
        await old_session.expect_end()
        assert await has_account(server, "bob", password=password)
        assert not await has_account(server, "bob", password=password_of("bob"))
        page = await open_page(browser, url)
        assert "This link has already been used" in await text_of(page)
    assert not await has_account(server, "bob2", password=password)
