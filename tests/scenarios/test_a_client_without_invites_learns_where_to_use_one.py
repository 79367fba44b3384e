"""Dino, Gajim and Psi know no invites: they show the form of a registration, and then the error. Both
say what to do with an invitation, in the language of the stream."""

import pytest

from harness.server import password_of
from harness.stories import generate, has_account
from harness.xmpp import StanzaError, child, form_in

ONLY = "Registration on this server is through invitation only. "
IN_A_BROWSER = ONLY + "Open your invitation link in a browser: you can register there"
IN_AN_APP = ONLY + "Open your invitation link in an app that can register with it, such as Conversations or Monal"
GERMAN = "Auf diesem Server kannst du nur mit einer Einladung ein Konto anlegen. Öffne deinen Einladungslink in " \
         "einem Browser: Dort kannst du dein Konto anlegen"
PROSODYS_OWN = "Choose a username and password for use with this service."
OPEN = {"hosts": {"example.org": {"registration_invite_only": False}}}


@pytest.mark.parametrize("as_form", [False, True], ids=["fields", "form"])
@pytest.mark.parametrize(("language", "text"), [(None, IN_A_BROWSER), ("de-AT", GERMAN)], ids=["none", "german"])
async def test_where_invitations_have_pages_the_browser_is_named(web_server, as_form, language, text):
    stream = await web_server.connect(language=language)
    assert await instructions(stream) == [f"{text}\n{PROSODYS_OWN}"] * 2
    assert await refusal(stream, as_form) == text
    assert not await has_account(web_server, "mallory")


async def test_elsewhere_apps_are_named(server):
    stream = await server.connect()
    assert await instructions(stream) == [f"{IN_AN_APP}\n{PROSODYS_OWN}"] * 2
    assert await refusal(stream) == IN_AN_APP


async def test_the_form_for_an_invite_stays_as_it_is(web_server):
    # Siskin asks its user again if the form has changed.
    stream = await web_server.connect()
    await stream.preauth(generate(web_server).token)
    assert await instructions(stream) == [PROSODYS_OWN] * 2
    with pytest.raises(StanzaError, match="item-not-found"):
        await stream.preauth("noSuchTokenNoSuchTokenNo")
    assert await instructions(stream) == [f"{IN_A_BROWSER}\n{PROSODYS_OWN}"] * 2


async def test_the_operators_own_words_stay(make_server):
    server = make_server(global_lines="registration_instructions = 'Ask Eve for an invitation.'")
    stream = await server.connect()
    assert await instructions(stream) == [f"{IN_AN_APP}\nAsk Eve for an invitation."] * 2


async def test_where_registration_is_open_no_invitation_is_spoken_of(make_server):
    server = make_server(settings=OPEN)
    stream = await server.connect()
    assert await instructions(stream) == [PROSODYS_OWN] * 2
    await stream.registration_set("dora", password_of("dora"))


async def test_while_the_daemon_is_away_there_is_a_form_all_the_same(make_server):
    server = make_server(run_daemon=False)
    stream = await server.connect()
    assert await instructions(stream) == [PROSODYS_OWN] * 2
    assert "cannot be checked at the moment" in await refusal(stream)


async def instructions(stream):
    """What a registration form says, in the old fields and in the new form."""
    query = await stream.registration_get()
    return [child(part, "instructions").text for part in (query, form_in(query))]


async def refusal(stream, as_form=False):
    """The text of the error for a registration."""
    with pytest.raises(StanzaError) as refused:
        await stream.registration_set("mallory", password_of("mallory"), as_form=as_form)
    return refused.value.text
