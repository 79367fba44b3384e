"""A stream opened in German gets German: the commands on the server's own address and on the
component, their forms and errors, and the refusal of a registration. Every other stream gets
English."""

import re
from datetime import datetime

import pytest

from harness.stories import CREATE_ACCOUNT, NEW_INVITE, PASSWORD_RESET, Invite, show
from harness.xmpp import STANZA_ERRORS, XML, StanzaError, child, children, field_value, form_fields, form_in

GERMAN = {NEW_INVITE: "Neue Einladung", CREATE_ACCOUNT: "Einladung für ein neues Konto",
          PASSWORD_RESET: "Link für ein neues Passwort"}
TURKISH = {NEW_INVITE: "Yeni davet", CREATE_ACCOUNT: "Yeni hesap daveti", PASSWORD_RESET: "Parola sıfırlama bağlantısı"}
ENGLISH = {NEW_INVITE: "New Invite", CREATE_ACCOUNT: "New Account Invite", PASSWORD_RESET: "Password Reset Link"}


@pytest.mark.parametrize(("language", "names"), [
    ("de-AT", GERMAN), ("tr", TURKISH), ("en", ENGLISH), (None, ENGLISH), ("tlh", ENGLISH)])
async def test_the_names_of_the_commands(server, language, names):
    admin = await server.login("admin", language=language)
    for address in (server.domain, server.component):
        listed = await admin.commands(address)
        assert {node: listed[node].name for node in names} == names
        info = await admin.disco_info(address, CREATE_ACCOUNT)
        assert ("automation", "command-node", names[CREATE_ACCOUNT]) in info.identities


async def test_a_form_that_is_filled_in_wrongly_and_then_rightly(server):
    admin = await server.login("admin", language="de")
    shown = await admin.execute(server.domain, CREATE_ACCOUNT)
    assert texts(shown)[:2] == ("Einladung für ein neues Konto",
                                "Wähle, was die Einladung erlaubt. Jedes Feld kann so bleiben, wie es ist.")
    assert form_fields(form_in(shown))["note"].get("label") == "Notiz für dich"
    session = shown.get("sessionid")
    again = await admin.execute(server.domain, CREATE_ACCOUNT, action="complete", session=session,
                                form={"username": "carol", "uses": "2"})
    wrong = form_fields(form_in(again))["error"]
    assert field_value(wrong) == "Bitte ändere „Anzahl der Konten“: " \
        "Eine Einladung für einen bestimmten Benutzernamen gilt genau einmal"
    done = await admin.execute(server.domain, CREATE_ACCOUNT, action="complete", session=session,
                               form={"username": "carol", "uses": "1"})
    title, instructions, *labels, expire = texts(done)
    assert (title, labels) == ("Deine Einladung", ["Link zum Verschicken", "Link für XMPP-Apps"])
    assert instructions.startswith("Verschick „Link zum Verschicken“: Er öffnet eine Seite, die alles erklärt.")
    until = r"bis zum \d+\. \w+ \d+, \d\d:\d\d Uhr \(UTC\)\."
    assert re.search(rf"Gilt nur für carol@example.org, {until} Schreib „help“ an invite.example.org", instructions)
    assert re.fullmatch(r"Gültig bis \d+\. \w+ \d+, \d\d:\d\d Uhr \(UTC\)", expire)
    assert {command.get(f"{{{XML}}}lang") for command in (shown, again, done)} == {"de"}


async def test_what_is_typed_is_read_as_its_language_writes_it(server):
    """Capital letters with and without a dot in Turkish; words without a number, and other digits, in Arabic."""
    for language, written in [("tr", {"uses": "SINIRSIZ", "expires": "SÜRESİZ"}),
                              ("tr", {"uses": "sınırsız", "expires": "süresiz"}),
                              ("ar", {"uses": "بلا حد", "expires": "بلا نهاية"})]:
        assert await made(server, language, written) == (None, None), written
    for written in ({"uses": "٣", "expires": "يومان"}, {"uses": "3", "expires": "٢ ايام"},
                    {"uses": "۳", "expires": "2d"}):
        uses, seconds = await made(server, "ar", written)
        assert (uses, seconds) == (3, 48 * 60 * 60), written


async def test_an_error_says_its_language(server):
    admin = await server.login("admin", language="de")
    for address in (server.domain, server.component):
        with pytest.raises(StanzaError, match="modify/bad-request: Dieser Vorgang ist schon beendet") as refused:
            await admin.execute(address, CREATE_ACCOUNT, action="complete", session="none")
        error = child(refused.value.stanza, "error")
        assert error.find(f"{{{STANZA_ERRORS}}}text").get(f"{{{XML}}}lang") == "de"
        assert children(error, "bad-sessionid")


async def test_a_registration_that_is_refused(server):
    stream = await server.connect(language="de")
    with pytest.raises(StanzaError, match="cancel/item-not-found: Diese Einladung ist hier nicht bekannt"):
        await stream.preauth("noSuchTokenNoSuchTokenNo")
    with pytest.raises(StanzaError, match="not-acceptable: Auf diesem Server kannst du nur mit einer Einladung"):
        await stream.registration_set("dora", "a good password")
    stranger = await server.connect()
    with pytest.raises(StanzaError, match="not-acceptable: Registration on this server is through invitation only"):
        await stranger.registration_set("dora", "a good password")


async def made(server, language, written):
    """How many uses an invite has for which this was typed, and for how many seconds it is good."""
    admin = await server.login("admin", language=language)
    done = await admin.execute(server.domain, CREATE_ACCOUNT, action="complete", form=written)
    invite = show(server, Invite(field_value(form_fields(form_in(done))["uri"])))
    end = invite["expires_at"] and datetime.fromisoformat(invite["expires_at"])
    return invite["max_uses"], end and (end - datetime.fromisoformat(invite["created_at"])).total_seconds()


def texts(command):
    """A form's title and instructions, and the labels of a result."""
    form = form_in(command)
    labels = [field.get("label") for field in form_fields(form).values() if form.get("type") == "result"]
    return (child(form, "title").text, child(form, "instructions").text, *filter(None, labels))
