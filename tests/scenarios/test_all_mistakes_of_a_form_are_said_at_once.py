"""All that is wrong with a form is said in one answer, each mistake beside its field, and in a list
at the top that leads to the fields. What was typed as the username stays."""

import re

import pytest

from harness.chromium import chromium, open_page
from harness.stories import generate, show
from harness.web import Visitor, text, text_of, web_settings

TAKEN = text("username_taken", username="alice")
RESERVED = text("username_reserved", username="held")
SHORT, WEAK, MISSING = text("password_short"), text("password_weak"), "Please choose a password"


def problems(answer):
    """The problem beside each field, which the field names as its description."""
    found = {}
    for field in ("username", "password"):
        tag = re.search(rf'<input id="{field}".*?>', answer.body, re.DOTALL)[0]
        described = re.search('aria-describedby="([^"]*)"', tag)[1].split()
        if f"{field}-problem" in described:
            beside = re.search(rf'<p[^>]* id="{field}-problem"[^>]*>(.*?)</p>', answer.body, re.DOTALL)
            found[field] = text_of(beside[1])
            assert f'href="#{field}"' in answer.body, "the list at the top leads to it"
    return found


@pytest.mark.parametrize("username, password, said", [
    ("alice", "short", (TAKEN, SHORT)), ("alice", "password", (TAKEN, WEAK)), ("alice", "", (TAKEN, MISSING)),
    ("alice@EXAMPLE.org", "12345678", (TAKEN, WEAK)), ("held", "short", (RESERVED, SHORT)),
    ("two words", "aaaaaaaa", ("cannot be a username here", WEAK)), ("", "", (text("username_missing"), MISSING)),
    ("carol@elsewhere.example", "carolcarol", (text("username_elsewhere", host="example.org"), WEAK)),
    ("a" * 250, " kites and lamps", ("cannot be a username here", "begins or ends with a space")),
    ("alice", "kites and lamps", (TAKEN, None)), ("carol", "password", (None, WEAK)),
], ids=ascii)
async def test_beside_the_fields(web_server, username, password, said):
    web_server.daemon.cli("generate", "example.org", "--username", "held")  # once is enough
    invite, visitor = generate(web_server), Visitor(web_server)
    form = await visitor.filled_in(invite, username, password)
    answer = await visitor.post(visitor.path(invite, "register"), form)
    assert answer.status in (409, 422)
    found = problems(answer)
    assert set(found) == {field for field, text in zip(("username", "password"), said) if text}, found
    for field, text in zip(("username", "password"), said):
        assert text is None or text in found[field], found
    assert text_of(re.search('role="alert">(.*?)</div>', answer.body, re.DOTALL)[1]).count(".") >= len(found)
    assert show(web_server, invite)["uses"] == 0


async def test_no_name_is_told_to_who_has_failed_too_often(make_server):
    """A bad password beside each name does not get around the limit."""
    server = make_server(settings={**web_settings(), "limits": {"forms": 5}})
    invite, visitor = generate(server, "--uses", "50"), Visitor(server)
    form = await visitor.filled_in(invite, "alice", "short")
    answers = [await visitor.post(visitor.path(invite, "register"), form) for _ in range(7)]
    assert "taken" in answers[0].text
    assert "taken" not in answers[-1].text and answers[-1].status == 429


@pytest.mark.seconds(120)
async def test_in_a_browser(web_server):
    """The list at the top leads to the field, and the typed username is still there."""
    url = web_server.daemon.cli("generate", "example.org").stdout.split()[0]
    async with chromium() as browser:
        page = await open_page(browser, f"{url}/register", device="windows", script=True)
        await page.locator("#username").fill("two words")
        await page.locator("#password").fill("short")
        await page.locator("button[type=submit]").click()
        assert await page.locator("[role=alert] li").count() == 2
        assert await page.locator(".problem").all_inner_texts() == [
            text("username_invalid", username="two words"), SHORT]
        assert await page.input_value("#username") == "two words"
        await page.locator("[role=alert] a").nth(1).click()
        assert await page.evaluate("document.activeElement.id") == "password"
