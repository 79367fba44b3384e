"""A password goes to Prosody and nowhere else: not to a page, whatever the outcome, and not to a
log, at any level. Only one that the form offered is on pages."""

import pytest

from harness.stories import eventually, generate, has_account, in_store, reset_link
from harness.web import Visitor, web_settings

PASSWORD = "Unmistakable-Pass-4711"


@pytest.fixture
def server(make_server):
    return make_server(settings=web_settings(), environment={"EASY_INVITE_LOG": "trace"})


async def test_whatever_the_outcome(server):
    visitor, invite = Visitor(server), generate(server)
    async with await server.login("admin") as admin:
        link = await reset_link(admin, "bob@example.org")
    answers = [await visitor.register(invite, "alice", PASSWORD)]
    assert answers[0].status == 409
    filled = await visitor.filled_in(invite, "carol", PASSWORD)
    path = visitor.path(invite, "register")
    for sent in ({**filled, "form": "x"}, {**filled, "username": "not one"}, filled, filled):
        answers.append(await visitor.post(path, sent))
    answers += [await visitor.register(generate(server), "dave", PASSWORD), await visitor.reset(link, PASSWORD)]
    assert [answer.status for answer in answers] == [409, 403, 422, 200, 200, 200, 200]
    late = await visitor.filled_in(generate(server), "erin", PASSWORD)
    server.prosody.kill()
    answers.append(await visitor.post(visitor.path(invite, "register"), late))
    server.prosody.start()
    await eventually(lambda: server.daemon.log.count("the hook is there") == 2, "the daemon is connected again")
    for username in ("bob", "carol", "dave"):
        assert await has_account(server, username, password=PASSWORD)
    for answer in answers:
        assert PASSWORD not in answer.raw.decode()
    for log in (server.daemon.log, server.prosody.log):
        assert PASSWORD not in log
    stored = repr([in_store(server, f"SELECT * FROM {table}") for table in ("invite", "invite_use")])
    assert PASSWORD not in stored and invite.token not in stored


async def test_an_offered_password_is_shown_until_its_owner_has_it(server):
    visitor, invite = Visitor(server), generate(server)
    filled = await visitor.filled_in(invite, "alice", "")
    offered = filled["offered"]
    again = await visitor.post(visitor.path(invite, "register"), {**filled, "choice": "offered"})
    assert again.status == 409 and again.fields["offered"] == offered and again.fields["choice"] == "offered"
    welcome = await visitor.post(visitor.path(invite, "register"), {**again.fields, "username": "carol"})
    assert welcome.status == 200 and offered in welcome.body
    reloaded = await visitor.post(visitor.path(invite, "register"), {**again.fields, "username": "carol"})
    assert reloaded.status == 200 and offered not in reloaded.body
    assert await has_account(server, "carol", password=offered)
    assert offered not in server.daemon.log + server.prosody.log
