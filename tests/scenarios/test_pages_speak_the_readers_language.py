"""Pages, their errors and the server's answers to a form
are in the browser's language, and else in English."""

import pytest

from harness.stories import generate
from harness.web import Visitor, text

pytestmark = pytest.mark.one_setup


@pytest.mark.parametrize("asked, spoken", [
    ("de", "de"), ("de-AT,de;q=0.9,en;q=0.5", "de"), ("en;q=0.5, de;q=0.8", "de"), ("en-GB, de", "en"),
    ("tlh, de;q=0.1", "de"), ("tlh", "en"), ("", "en"), (None, "en"), ("*", "en"), ("pt", "pt-BR"), ("PT-br", "pt-BR"),
    ("pt-PT,pt;q=0.9,en;q=0.8", "pt-PT"), ("pt-AO", "pt-PT"), ("fr", "fr"), ("es", "es"), ("it", "it"), ("pl", "pl"),
    ("ru", "ru"), ("uk-UA", "uk"), ("tr", "tr"), ("nl-BE,nl;q=0.9", "nl"), ("ar-EG", "ar"), ("ar", "ar"), ("he", "he"),
    ("iw-IL", "he"), ("zh", "zh-Hans"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"), ("zh-Hans-CN", "zh-Hans"),
    ("zh-SG", "zh-Hans"), ("zh-TW,zh;q=0.9,en-US;q=0.8", "zh-Hans"), ("zh-HK", "zh-Hans"), ("de;q=0, en", "en"),
    (";;;q=,,-", "en"), ("de" * 5000, "en"), ("d\xe9", "en")])
async def test_as_the_browser_asks(web_server, asked, spoken):
    invite = generate(web_server)
    visitor = Visitor(web_server, headers={} if asked is None else {"Accept-Language": asked})
    for page, status in [(visitor.path(invite), 200), (visitor.path("A" * 24), 404), ("/nothing", 404)]:
        answer = await visitor.get(page)
        assert (answer.status, answer.header("Content-Language")) == (status, spoken)
        assert f'<html lang="{spoken}" dir="{"rtl" if spoken in ("ar", "he") else "ltr"}">' in answer.body
        assert "Accept-Language" in answer.header("Vary")


async def test_errors_of_a_form_too(web_server):
    visitor, invite = Visitor(web_server, headers={"Accept-Language": "de"}), generate(web_server)
    taken = await visitor.register(invite, "alice", "ein langes Passwort")
    assert taken.status == 409 and text("username_taken", language="de", username="alice") in taken.text, taken.text
    assert taken.header("Content-Language") == "de"
