"""`prosodyctl mod_easy_invite generate HOST`, in either
order of the two words, prints one link that works."""

import pytest

from harness.stories import CREATE_ACCOUNT, Invite, has_account, register, show
from harness.xmpp import StanzaError


@pytest.mark.parametrize("words", [["generate", "example.org"], ["example.org", "generate"]], ids=" ".join)
async def test_either_order(server, words):
    name = f"guest-{words[0]}"
    await register(server, name, link(server, *words))
    assert await has_account(server, name)


async def test_a_username(server):
    invite = link(server, "generate", "example.org", "--username", "Carol")
    with pytest.raises(StanzaError):
        await register(server, "dave", invite)
    await register(server, "carol", invite)


async def test_a_password_reset(server):
    await register(server, "bob", link(server, "generate", "example.org", "--reset", "bob"), password="a new one")
    assert await has_account(server, "bob", password="a new one")


async def test_a_role(server):
    invite = link(server, "generate", "example.org", "--role", "prosody:admin")
    assert show(server, invite)["roles"] == ["prosody:admin"]
    await register(server, "boss", invite)
    assert CREATE_ACCOUNT in await (await server.login("boss")).commands("example.org")


async def test_options_of_the_daemons_own_command(server):
    note = "a note, spaces and all"
    invite = link(server, "example.org", "generate", "--contact", "alice@example.org", "--note", note)
    assert show(server, invite)["note"] == note
    await register(server, "friend", invite)
    assert "friend@example.org" in await (await server.login("alice")).roster()


async def test_without_a_landing_page_it_is_the_xmpp_link(make_server):
    server = make_server(settings={"hosts": {"example.org": {"landing_page": None}}})
    invite = link(server, "generate", "example.org")
    assert invite.uri == f"xmpp:example.org?register;preauth={invite.token}"


@pytest.mark.parametrize("arguments, code, words", [
    (["generate", "example.net"], 1, "example.net is not a host"),
    (["generate", "example.org", "--username", "alice"], 1, "already exists"),
    (["generate", "example.org", "--reset", "ghost"], 1, "has no account"),
    (["generate", "example.org", "--username", "al ice"], 2, "not a valid username"),
    (["generate", "example.org", "--nonsense"], 2, "--nonsense"),
    (["generate"], 2, "Usage"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_an_impossible_invite(server, arguments, code, words):
    assert_refused(server, arguments, code, words)


def test_the_daemon_is_down(make_server):
    server = make_server(run_daemon=False)
    assert_refused(server, ["generate", "example.org"], 1, "does easy-invite run?")


def test_prosody_is_down(make_server):
    server = make_server(run_daemon=False)
    server.prosody.stop()
    assert_refused(server, ["generate", "example.org"], 1, "Cannot reach Prosody")


def test_the_host_has_no_module(make_server):
    server = make_server(run_daemon=False, hosts={"example.org": "", "example.net": ""})
    assert_refused(server, ["generate", "example.net"], 1, "mod_easy_invite is not active on example.net")


def link(server, *arguments):
    code, output, errors = server.prosody.prosodyctl("mod_easy_invite", *arguments)
    assert (code, output.count("\n"), errors) == (0, 1, "")
    return Invite(output.strip())


def assert_refused(server, arguments, code, words):
    found, output, errors = server.prosody.prosodyctl("mod_easy_invite", *arguments)
    assert (found, output) == (code, ""), errors
    assert words in errors and "traceback" not in errors
