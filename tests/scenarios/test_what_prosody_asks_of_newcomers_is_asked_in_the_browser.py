"""Prosody's `additional_registration_fields` are asked in the browser as in a client: what is missing
is said at its field, and what was typed is stored with the account."""

import re
import tomllib
from urllib.parse import urlencode

import pytest

from harness.daemon import REPOSITORY
from harness.prosody import INVITE_HOST
from harness.server import Server
from harness.stories import generate, has_account, register, show, used
from harness.web import Visitor, text, web_settings
from harness.xmpp import StanzaError

PASSWORD = "correct horse battery"
FIELDS = """
    additional_registration_fields = {
        "email+", "nick", "phone+", "shoe",
        { name = "colour"; type = "list-single"; label = "Your colour"; required = true;
          options = { { value = "red"; label = "Red like roses" }, { value = "blue"; label = "Blue" } } };
        { name = "about"; type = "text-multi"; label = "About you" };
        { name = "rules"; type = "boolean"; label = "I have read the rules" };
        { name = "age"; type = "text-single"; datatype = "xs:integer"; label = "Your age" };
        { name = "note"; type = "fixed"; value = "We ask a lot." };
        { type = "fixed"; value = "This has no name." };
        { name = "heading"; type = "fixed"; label = "And one thing more" };
        { name = "source"; type = "hidden"; value = "the web" };
    }
"""
ANSWERS = {"field-email": "carol@mail.example", "field-phone": "+49 30 1234", "field-colour": "blue"}


@pytest.fixture(scope="module")
def server(prosody_version, store_url, tmp_path_factory):
    settings = {**web_settings(), "limits": {"pages": "unlimited", "forms": "unlimited"}}
    with Server(prosody_version, tmp_path_factory.mktemp("server"), store_url=store_url(),
                settings=settings, hosts={"example.org": INVITE_HOST + FIELDS}) as running:
        yield running


def stored(server, username):
    """What Prosody has stored of an account's answers."""
    file = server.prosody.data_folder / "example%2eorg" / "account_details" / f"{username}.dat"
    return dict(re.findall(r'\["(\w+)"\] = "?(.*?)"?;', file.read_text()))


def label(name, language="en"):
    return tomllib.loads((REPOSITORY / "languages" / f"{language}.toml").read_text())["field"][name]


async def test_the_form_asks_for_them(server):
    visitor, invite = Visitor(server), generate(server)
    form = await visitor.get(visitor.path(invite, "register"))
    for words in (label("email"), f"{label('nick')} {label('optional')}", "Your colour", "Red like roses",
                  "We ask a lot.", "This has no name.", "And one thing more"):
        assert words in form.text, words
    assert 'name="field-email" required autocomplete="email"' in form.body
    assert "shoe" not in form.text and "the web" not in form.text, "what Prosody does not ask, nor show"
    german = await visitor.get(visitor.path(invite, "register"), {"Accept-Language": "de"})
    assert label("email", "de") in german.text and "Your colour" in german.text


async def test_what_was_typed_is_stored_with_the_account(server):
    visitor, invite = Visitor(server), generate(server)
    form = await visitor.filled_in(invite, "carol", PASSWORD)
    answers = {**form, **ANSWERS, "field-nick": "Caro <&> ☺", "field-about": "one\r\ntwo", "field-rules": "1",
               "field-age": "42"}
    welcome = await visitor.post(visitor.path(invite, "register"), answers)
    assert (welcome.status, welcome.heading) == (200, text("welcome", account="carol@example.org"))
    await used(server, invite)
    assert await has_account(server, "carol", password=PASSWORD)
    kept = stored(server, "carol")
    assert (kept["email"], kept["phone"], kept["colour"]) == ("carol@mail.example", "+49 30 1234", "blue")
    assert (kept["nick"], kept["about"]) == (r"Caro <&> \226\152\186", r"one\ntwo")
    assert (kept["rules"], kept["age"], kept["source"]) == ("true", "42", "the web") and "note" not in kept


async def test_everything_that_is_missing_is_said_at_once(server):
    visitor, invite = Visitor(server), generate(server)
    form = await visitor.filled_in(invite, "", "short")
    told = await visitor.post(visitor.path(invite, "register"), {**form, "field-nick": "Caro", "field-colour": "green"})
    assert told.status == 422
    for name in ("email", "phone"):
        words = text("missing", table="field", field=label(name))
        assert told.text.count(words) == 2, "above the form and at the field"
        assert f'<a href="#field-{name}">' in told.body and f'id="field-{name}-problem"' in told.body
    assert '<a href="#field-colour">' in told.body and '<a href="#username">' in told.body
    assert '<a href="#password">' in told.body and '<a href="#field-nick">' not in told.body
    assert told.fields["field-nick"] == "Caro", "what was typed stays"
    assert show(server, invite)["uses"] == 0
    again = urlencode({**told.fields, **ANSWERS, "username": "dave", "password": PASSWORD}).encode()
    assert (await visitor.post(visitor.path(invite, "register"), again)).status == 200


async def test_an_answer_that_prosody_does_not_take(server):
    visitor, invite = Visitor(server), generate(server)
    form = {**await visitor.filled_in(invite, "erin", PASSWORD), **ANSWERS}
    told = await visitor.post(visitor.path(invite, "register"), {**form, "field-age": "very old"})
    assert "age: " in told.text and told.status == 422, told.text
    assert (await visitor.post(visitor.path(invite, "register"), {**form, "field-age": "99"})).status == 200


async def test_a_new_password_asks_for_nothing_else(server):
    visitor, invite = Visitor(server), generate(server, "--reset", "bob")
    form = await visitor.get(visitor.path(invite, "reset"))
    assert "field-" not in form.body
    assert (await visitor.reset(invite, PASSWORD)).status == 200
    assert await has_account(server, "bob", password=PASSWORD)


async def test_an_app_that_cannot_ask_for_them_is_told_where_to_register(server):
    invite = generate(server)
    with pytest.raises(StanzaError, match="not-acceptable: This server also asks for: email, phone. .* in a browser"):
        await register(server, "frank", invite)
    async with await server.connect() as stream:
        await stream.preauth(invite.token)
        asked = "<username>frank</username><password>kites and lamps</password><email>f@mail.example</email>"
        with pytest.raises(StanzaError, match="also asks for: phone"):
            await stream.ask("set", f"<query xmlns='jabber:iq:register'>{asked}</query>")
        await stream.ask("set", f"<query xmlns='jabber:iq:register'>{asked}<phone>1</phone></query>")
    await used(server, invite)
    assert (stored(server, "frank")["email"], stored(server, "frank")["phone"]) == ("f@mail.example", "1")


async def test_an_app_is_told_so_in_its_language(server):
    async with await server.connect(language="de") as stream:
        await stream.preauth(generate(server).token)
        with pytest.raises(StanzaError) as refused:
            await stream.registration_set("frieda", PASSWORD)
    there = text("open_in_browser", language="de", table="refusal")
    assert refused.value.text == "Dieser Server fragt auch nach: email, phone. " + there


async def test_no_browser_is_named_where_there_are_no_pages(make_server):
    server = make_server(hosts={"example.org": INVITE_HOST + FIELDS})
    with pytest.raises(StanzaError, match="not-acceptable: This server also asks for: email, phone$"):
        await register(server, "frank", generate(server))


async def test_an_app_that_knows_no_invites_is_told_by_prosody(server):
    with pytest.raises(StanzaError, match="not-acceptable: .*Required value missing"):
        await register(server, "grace")
