"""A password that the server cannot store is refused before a use of the invite is reserved, in
chat as in a browser, and the text says what to do. The account store stays as it was, and the name
stays free, for everybody or for the holder of a link for this name."""

import pytest

from harness.gate import PlayedDaemon
from harness.server import password_of
from harness.stories import accounts_on_disk, generate, has_account, in_store, new_invite, register, show, used
from harness.web import Visitor, web_settings
from harness.xmpp import REGISTER, StanzaError

OPEN = {"hosts": {"example.org": {"registration_invite_only": False}}}
# SASLprep refuses characters for private use, tabs and mixed directions, and Prosody what is too
# long. Of an invisible character SASLprep leaves nothing, which Prosody would take.
INVISIBLE = "\u00ad"
REFUSED_BY_PROSODY = ["\ue000", "pass\ue000word", "tab\there", "\u2028", "\u0627a1", "x" * 1024]
BAD = [*REFUSED_BY_PROSODY, INVISIBLE, 8 * INVISIBLE]
REFUSED = "^modify/policy-violation: Please choose another password"
NEVER_RESERVED = "SELECT count(*) FROM invite_use"


@pytest.mark.parametrize("password", BAD, ids=lambda password: ascii(password[:10]))
async def test_in_chat(server, password):
    invite, before = generate(server), accounts_on_disk(server)
    used_before = in_store(server, NEVER_RESERVED)
    names = [f"victim-{BAD.index(password)}-{number}" for number in range(4)]
    stream = await server.connect()
    await stream.preauth(invite.token)
    for name in names:
        with pytest.raises(StanzaError, match=REFUSED):
            await stream.registration_set(name, password)
    assert accounts_on_disk(server) == before
    assert in_store(server, NEVER_RESERVED) == used_before

    await stream.registration_set(names[0], password_of(names[0]))
    assert await has_account(server, names[0])
    await used(server, invite)
    await register(server, names[1], generate(server))


async def test_the_holder_of_a_link_for_one_name_keeps_the_name(server):
    invite = generate(server, "--username", "carol", "--contact", "alice@example.org")
    with pytest.raises(StanzaError, match=REFUSED):
        await register(server, "carol", invite, password=BAD[0])
    await register(server, "carol", invite)
    assert await has_account(server, "carol")
    await used(server, invite)


async def test_where_registration_is_open(make_server):
    server = make_server(settings=OPEN)
    before = accounts_on_disk(server)
    with pytest.raises(StanzaError, match=REFUSED):
        await register(server, "carol", password=BAD[0])
    assert accounts_on_disk(server) == before
    await register(server, "carol")
    assert await has_account(server, "carol")


async def test_a_reset_link(server):
    link, before = generate(server, "--reset", "bob"), accounts_on_disk(server)
    with pytest.raises(StanzaError, match=REFUSED):
        await register(server, "bob", link, password=BAD[0])
    assert accounts_on_disk(server) == before
    assert await has_account(server, "bob")
    assert show(server, link)["uses"] == 0
    await register(server, "bob", link, password="a new one")
    assert await has_account(server, "bob", password="a new one")
    await register(server, "bob", generate(server, "--reset", "bob"))


async def test_a_user_who_changes_the_password(server):
    async with await server.login("alice") as alice:
        before = accounts_on_disk(server)
        for password in REFUSED_BY_PROSODY:
            with pytest.raises(StanzaError):
                await alice.ask("set", f"<query xmlns='{REGISTER}'><username>alice</username>"
                                       f"<password>{password}</password></query>")
        assert accounts_on_disk(server) == before
        invite = await new_invite(alice)
    assert await has_account(server, "alice")
    assert show(server, invite)["state"] == "pending"


async def test_in_a_browser(make_server):
    server = make_server(settings=web_settings())
    invite, before = generate(server), accounts_on_disk(server)
    for password in ("pass\ue000word", "\u0627password", 8 * INVISIBLE):
        answer = await Visitor(server).register(invite, "carol", password)
        assert answer.status == 422 and "Please choose another" in answer.text
    assert accounts_on_disk(server) == before
    assert show(server, invite)["uses"] == 0
    assert (await Visitor(server).register(invite, "carol", "correct horse battery")).status == 200


@pytest.mark.parametrize("purpose", ["register", "reset"])
async def test_the_hook_itself(make_server, purpose):
    server = make_server(run_daemon=False)
    daemon, before = await PlayedDaemon.connect(server), accounts_on_disk(server)
    for number, password in enumerate(BAD):
        with pytest.raises(StanzaError, match=REFUSED):
            await daemon.create(f"r{number}", "bob" if purpose == "reset" else "carol", password, purpose=purpose)
    assert accounts_on_disk(server) == before
