"""Nobody can use a link to find out which names are taken: in clients as in browsers, only a
limited number of registrations may fail because of the username or the password, from one address
and with one invite. The answer says when to try again. People who mistype now and then are not held
up, and nobody can close a link for many to the others."""

import pytest

from harness.prosody import INVITE_HOST
from harness.server import password_of
from harness.stories import generate, has_account, register, show
from harness.web import Visitor, web_settings
from harness.xmpp import StanzaError

MOST = 4
ONE, OTHER = "127.0.0.2", "127.0.0.3"
TOO_MANY = ("wait/policy-violation: Too many registrations have failed with this invitation, or from your network. "
            "Please try again after 20")
OPEN = {"example.org": {"registration_invite_only": False}}
LIMITED = {**web_settings(), "limits": {"forms": MOST}}
BARRED = 'module:hook("user-registering", function (event) event.allowed = event.username ~= "root"; end);'

# What a person gets wrong: the username, the password, and the answer.
MISTAKES = {
    "taken": ("alice", None, "cancel/conflict"),
    "of-another-invite": ("frank", None, "modify/not-acceptable"),
    "refused-password": ("erin", "\ue000", "modify/policy-violation"),
    "barred": ("root", None, "modify/not-acceptable"),
}


@pytest.fixture
def server(make_server, tmp_path):
    (tmp_path / "mod_barred.lua").write_text(BARRED)
    return make_server(settings=LIMITED, plugin_folders=[tmp_path], hosts={
        "example.org": INVITE_HOST.replace("{ ", '{ "barred", ')})


async def fails(server, invite, username, password=None, *, error, source=ONE):
    with pytest.raises(StanzaError, match=error):
        await register(server, username, invite, password=password, source=source)


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_from_one_address(server, mistake):
    username, password, error = MISTAKES[mistake]
    invite = generate(server, *(["--username", "carol"] if mistake == "of-another-invite" else []))
    for _ in range(MOST):
        await fails(server, invite, username, password, error=error)
    for name in (username, "carol"):
        await fails(server, invite, name, password, error=TOO_MANY)
    await fails(server, generate(server), "dave", error=TOO_MANY)
    assert show(server, invite)["uses"] == 0
    await register(server, "dave", generate(server), source=OTHER)
    assert await has_account(server, "dave")


async def test_with_an_invite_for_one_from_many_addresses_on_new_streams_and_old_ones(server):
    invite = generate(server)
    old = await server.connect(source=ONE)
    await old.preauth(invite.token)
    for number in range(MOST):
        await fails(server, invite, "bob", error="cancel/conflict", source=f"127.0.1.{number + 1}")
    await fails(server, invite, "bob", error=TOO_MANY, source=OTHER)
    with pytest.raises(StanzaError, match=TOO_MANY):
        await old.registration_set("carol", password_of("carol"))
    answer = await Visitor(server, "127.0.0.9").register(invite, "carol", "correct horse battery")
    assert answer.status == 429 and "Too many registrations have failed" in answer.text
    assert 0 < int(answer.header("Retry-After")) <= 600
    await register(server, "carol", generate(server), source=ONE)


@pytest.mark.parametrize("uses", ["unlimited", "2"])
async def test_one_guest_closes_a_link_for_many_to_nobody_else(server, uses):
    invite, guest, mistaken = generate(server, "--uses", uses), Visitor(server, ONE), Visitor(server, "127.0.0.4")
    assert (await mistaken.register(invite, "alice", "correct horse battery")).status == 409
    for _ in range(MOST // 2):
        assert (await guest.register(invite, "alice", "correct horse battery")).status == 409
        await fails(server, invite, "bob", error="cancel/conflict")
    for _ in range(3):
        await fails(server, invite, "bob", error=TOO_MANY)
    assert (await guest.register(invite, "alice", "correct horse battery")).status == 429
    await register(server, "carol", invite, source=OTHER)
    assert (await mistaken.register(invite, "dave", "correct horse battery")).status == 200
    assert show(server, invite)["uses"] == 2


async def test_when_many_addresses_try_names_with_a_link_for_many_it_works_where_nothing_failed(server):
    invite = generate(server, "--uses", "unlimited")
    await fails(server, invite, "alice", error="cancel/conflict", source=OTHER)
    for number in range(10 * MOST - 1):
        await fails(server, invite, "bob", error="cancel/conflict", source=f"127.0.1.{number + 1}")
    for source in (OTHER, "127.0.1.1"):
        await fails(server, invite, "bob", error=TOO_MANY, source=source)
        await fails(server, invite, "carol", error=TOO_MANY, source=source)
        assert (await Visitor(server, source).register(invite, "carol", "correct horse battery")).status == 429
    await register(server, "carol", invite, source="127.0.2.1")
    assert (await Visitor(server, "127.0.2.2").register(invite, "dave", "correct horse battery")).status == 200
    assert show(server, invite)["uses"] == 2


async def test_forms_and_registrations_in_chat_count_together(server):
    invite, visitor = generate(server), Visitor(server, ONE)
    for _ in range(MOST - 1):
        assert (await visitor.register(invite, "alice", "correct horse battery")).status == 409
    await fails(server, invite, "alice", error="cancel/conflict")
    await fails(server, invite, "alice", error=TOO_MANY)
    assert (await visitor.register(invite, "carol", "correct horse battery")).status == 429
    await fails(server, invite, "carol", error=TOO_MANY, source=OTHER)


async def test_where_registration_is_open(make_server):
    server = make_server(settings={**LIMITED, "hosts": OPEN})
    for _ in range(MOST):
        await fails(server, None, "alice", error="cancel/conflict")
    await fails(server, None, "alice", error=TOO_MANY)
    await fails(server, None, "carol", error=TOO_MANY)
    await register(server, "carol", source=OTHER)


async def test_who_mistypes_now_and_then_is_not_held_up(make_server):
    server = make_server()
    invite = generate(server, "--uses", "unlimited")
    for number in range(10):  # a class behind one address
        stream = await server.connect(source=ONE)
        await stream.preauth(invite.token)
        for username, password in (("alice", "secret"), ("bob", "secret"), ("admin", "\ue000")):
            with pytest.raises(StanzaError, match="conflict|Please choose another password"):
                await stream.registration_set(username, password)
        await stream.registration_set(f"pupil-{number}", password_of(f"pupil-{number}"))
    assert show(server, invite)["uses"] == 10
