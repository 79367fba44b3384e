"""A password that others would try first is refused at every door: when somebody registers in a
browser or a client, and when they reset their password in one. The text says why. No use of the
invite is taken, and a better password goes on from there."""

import asyncio
import time

import pytest

from harness.stories import generate, has_account, in_store, new_invite, register, show, used
from harness.web import Visitor, text
from harness.xmpp import StanzaError

GUESSED = ["password", "12345678", "aaaaaaaa", "guest1234", "1Tseug", "example.org", "guest@example.org", "alice2024",
           "qwertyuiop", "Passwort1", "motdepasse", "пароль123", "contraseña", "abcabcabc", "19841984",
           "ｐａｓｓｗｏｒｄ", "pass\u00adword", "1 2 3 4 5 6 7 8", "password password"]
GOOD = ["kites and lamps", "тридцать три лампы", "密码很长而且没有人知道", "Hm6WqPxT2v", "kgz8-3f5m-xw2p-9qhc",
        "The quick onyx goblin jumps over the lazy dwarf. " * 5 + "!", "a" * 40 + " kites and lamps"]
RESERVED = "SELECT count(*) FROM invite_use"


async def in_a_browser(server, invite, username, password, page="register"):
    """Returns the text of the refusal, or None."""
    visitor = Visitor(server)
    form = await visitor.filled_in(invite, username if page == "register" else None, password, page=page)
    answer = await visitor.post(visitor.path(invite, page), form)
    assert answer.status in (200, 422) and not answer.fields.get("password")
    return None if answer.status == 200 else answer.text


async def in_a_client(server, invite, username, password, page="register"):
    """The same."""
    try:
        await register(server, username, invite, password=password)
    except StanzaError as refused:
        assert (refused.type, refused.condition) == ("modify", "not-acceptable")
        return refused.text


# Conversations understands these two texts, and shows others that the registration failed.
WHY = {in_a_browser: (text("password_weak"), text("password_short")),
       in_a_client: ("The password is too weak", "Please use a longer password.")}
DOORS = pytest.mark.parametrize("door", [in_a_browser, in_a_client])


@DOORS
async def test_by_who_registers(web_server, door):
    async with await web_server.login("alice") as alice:
        invite = await new_invite(alice)
    before = in_store(web_server, RESERVED)
    for password in [*GUESSED, invite.token, invite.uri]:
        said = await door(web_server, invite, "guest", password)
        assert said and any(why in said for why in WHY[door]), (password, said)
    assert in_store(web_server, RESERVED) == before and show(web_server, invite)["uses"] == 0
    username = f"guest-{door.__name__.replace('_', '-')}"
    assert await door(web_server, invite, username, GOOD[0]) is None
    assert await has_account(web_server, username, password=GOOD[0])
    await used(web_server, invite)


@DOORS
async def test_by_who_resets_it(web_server, door):
    link, username = generate(web_server, "--reset", "bob"), "bob"
    for password in ("password", "12345678", "bobbobbob", "bob@example.org", "bobexample"):
        said = await door(web_server, link, username, password, "reset")
        assert said and any(why in said for why in WHY[door]), (password, said)
    assert show(web_server, link)["uses"] == 0
    good = f"a new one, {door.__name__}"
    assert await door(web_server, link, username, good, "reset") is None
    assert await has_account(web_server, "bob", password=good)


async def test_a_good_one_is_taken(web_server):
    for number, password in enumerate(GOOD):
        door = (in_a_browser, in_a_client)[number % 2]
        username = f"careful-{number}"
        assert await door(web_server, generate(web_server), username, password) is None, password
        assert await has_account(web_server, username, password=password)


async def test_the_client_may_try_again_on_the_same_stream(web_server):
    async with await web_server.connect() as stream:
        await stream.preauth(generate(web_server).token)
        for password in ("password", "letmein!"):
            with pytest.raises(StanzaError, match="^modify/not-acceptable: The password is too weak$"):
                await stream.registration_set("patient", password)
        await stream.registration_set("patient", GOOD[0])
    assert await has_account(web_server, "patient", password=GOOD[0])


@DOORS
async def test_a_word_of_the_username_is_guessed(web_server, door):
    said = await door(web_server, generate(web_server), "jo.kruschenko-42", "Kruschenko1")
    assert said and any(why in said for why in WHY[door])


async def test_in_the_language_of_the_reader(web_server):
    async with await web_server.connect(language="de") as stream:
        await stream.preauth(generate(web_server).token)
        with pytest.raises(StanzaError, match="zu leicht zu erraten"):
            await stream.registration_set("leser", "passwort1")
    visitor = Visitor(web_server, headers={"Accept-Language": "de"})
    answer = await visitor.register(generate(web_server), "leser", "passwort1")
    assert text("password_weak", language="de") in answer.text


async def test_where_registration_is_open(make_server):
    server = make_server(settings={"hosts": {"example.org": {"registration_invite_only": False}}})
    with pytest.raises(StanzaError, match="The password is too weak"):
        await register(server, "carol", password="password1")
    await register(server, "carol")
    assert await has_account(server, "carol")


async def test_a_long_one_holds_up_nobody(web_server):
    """Judging takes time that grows faster than the password, so only its beginning is judged."""
    slow = "4@8(63!10$5+7%2" * 17
    visitor, invite = Visitor(web_server), generate(web_server)
    form = await visitor.filled_in(invite, "alice", slow[:255])
    began = time.monotonic()
    answers = await asyncio.gather(*[visitor.post(visitor.path(invite, "register"), form) for _ in range(10)])
    assert {answer.status for answer in answers} == {409}
    assert time.monotonic() - began < 10


async def test_the_password_is_in_no_log(make_server):
    server = make_server(environment={"EASY_INVITE_LOG": "trace"})
    invite = generate(server)
    for password in ("unmistakable11111111", "Unmistakable-Pass-4711"):
        try:
            await register(server, "carol", invite, password=password)
        except StanzaError as refused:
            assert password not in str(refused)
        for log in (server.daemon.log, server.prosody.log):
            assert password not in log
    await used(server, invite)
    stored = repr([in_store(server, f"SELECT * FROM {table}") for table in ("invite", "invite_use")])
    assert "Unmistakable" not in stored
