"""A form that is sent twice, by a double tap or a reload, is one registration. Each time it shows
the same welcome, and the invite is used once. Another form is another registration."""

import asyncio

import pytest

from harness.prosody import USUAL_MODULES
from harness.stories import (eventually, generate, has_account, held, in_store, reset_link, revoke, show, used,
                             uses_taken)
from harness.web import Visitor, text, web_settings

TAPS = 5
PASSWORD = "kites and lamps"
WELCOME = (200, text("welcome", account="carol@example.org"))


@pytest.mark.parametrize("uses", ["1", "10"])
async def test_at_once_and_again_later(make_server, uses):
    server = make_server(settings=web_settings())
    invite, visitor = generate(server, "--contact", "alice@example.org", "--uses", uses), Visitor(server)
    form, path = await visitor.filled_in(invite, "carol", PASSWORD), visitor.path(invite, "register")
    answers = await asyncio.gather(*[visitor.post(path, form) for _ in range(TAPS)])
    answers.append(await visitor.post(path, form))
    server.daemon.restart()
    answers.append(await visitor.post(path, form))
    assert {(answer.status, answer.heading) for answer in answers} == {WELCOME}
    await used(server, invite)
    assert await has_account(server, "carol", password=PASSWORD)


async def test_where_the_server_takes_its_time(make_server):
    server = make_server(settings=web_settings(), modules=[*USUAL_MODULES, "held_registrations"])
    invite, visitor = generate(server), Visitor(server)
    form, path = await visitor.filled_in(invite, "carol", PASSWORD), visitor.path(invite, "register")
    with held(server):
        impatient = asyncio.create_task(visitor.post(path, form))
        await eventually(lambda: uses_taken(server, invite) == 1, "the form has arrived")
        impatient.cancel()  # the browser closes its connection, and sends the form again
        again = [asyncio.create_task(visitor.post(path, form)) for _ in range(TAPS)]
        await asyncio.sleep(0.1)  # until some have arrived
    answers = await asyncio.gather(*again)
    assert {(answer.status, answer.heading) for answer in answers} == {WELCOME}
    await used(server, invite)


async def test_but_another_form_is_another_registration(make_server):
    server = make_server(settings=web_settings())
    invite, visitor, path = generate(server, "--uses", "10"), Visitor(server), None
    form, path = await visitor.filled_in(invite, "carol", PASSWORD), visitor.path(invite, "register")
    assert (await visitor.post(path, form)).status == 200
    others = [(visitor, {**form, "password": "another password"}), (Visitor(server), None),
              (visitor, {**form, "choice": "offered", "password": ""})]
    for browser, sent in others:
        sent = sent or await browser.filled_in(invite, "carol", PASSWORD)
        taken = await browser.post(path, sent)
        assert (taken.status, PASSWORD in taken.body) == (409, False)
    assert await has_account(server, "carol", password=PASSWORD)
    await used(server, invite)


async def test_also_when_the_invite_has_ended_since(make_server):
    server = make_server(settings=web_settings())
    invite, visitor = generate(server, "--uses", "5"), Visitor(server)
    form, path = await visitor.filled_in(invite, "carol", PASSWORD), visitor.path(invite, "register")
    assert (await visitor.post(path, form)).status == 200
    revoke(server, invite)
    again = await visitor.post(path, form)
    assert (again.status, again.heading) == (200, text("welcome", account="carol@example.org"))
    assert (await visitor.post(path, {**form, "username": "dave"})).status == 410
    await used(server, invite)


async def test_a_password_is_set_once(make_server):
    server = make_server(settings=web_settings())
    async with await server.login("admin") as admin:
        link = await reset_link(admin, "bob@example.org")
    visitor = Visitor(server)
    form, path = await visitor.filled_in(link, None, PASSWORD, page="reset"), visitor.path(link, "reset")
    answers = await asyncio.gather(*[visitor.post(path, form) for _ in range(TAPS)])
    answers.append(await visitor.post(path, form))
    assert {(answer.status, answer.heading) for answer in answers} == {(200, text("reset_done"))}
    other = await visitor.post(path, {**form, "password": "another password"})
    assert (other.status, other.heading) == (410, text("used"))
    assert await has_account(server, "bob", password=PASSWORD)
    await used(server, link)
    assert in_store(server, "SELECT count(*) FROM invite_use WHERE invite = ?", show(server, link)["id"]) == [(1,)]
