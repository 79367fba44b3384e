"""If a configuration names an admin who has no account, the person who registers that name gets the
admin's rights. So only an invite that the operator made for that very name registers it, in a
client as in a browser. `check` lists such names."""

import json

import pytest

from harness.prosody import INVITE_HOST
from harness.stories import (CREATE_ACCOUNT, Invite, generate, has_account, new_account_invite, new_invite, register,
                             show, used)
from harness.web import Visitor, text, web_settings
from harness.xmpp import StanzaError, form_in, form_values

RESERVED = r"^cancel/conflict: The requested username is reserved"
OPEN = {"hosts": {"example.org": {"registration_invite_only": False}}}
OURS = {"hosts": {"example.org": {"admins": ["Boss@Example.org"]}}}
ROOMS = 'Component "rooms.example.org" "muc"\n    admins = { "boss@EXAMPLE.org" }\n'
NEIGHBOUR = 'VirtualHost "example.net"\n    admins = { "chef@example.net", "boss@example.org" }\n'

# Who calls boss an admin.
CALLERS = {
    "all of Prosody": {"admins": ["admin@example.org", "BOSS@example.ORG"]},
    "its VirtualHost": {"hosts": {"example.org": INVITE_HOST + '    admins = { "ｂｏｓｓ@example.org" }\n'}},
    "its VirtualHost, without a list": {"hosts": {"example.org": INVITE_HOST + '    admins = "boss@example.org"\n'}},
    "another VirtualHost": {"last_lines": NEIGHBOUR},
    "a component": {"last_lines": ROOMS},
    "easy-invite": {"settings": OURS},
}


@pytest.mark.parametrize("options", CALLERS.values(), ids=CALLERS.keys())
async def test_whoever_calls_it_so(make_server, options):
    server = make_server(**options)
    alice = await server.login("alice")
    for invite in (await new_invite(alice), generate(server), generate(server, "--username", "carol")):
        for spelling in ("boss", "BOSS"):
            with pytest.raises(StanzaError, match=f"{RESERVED}|not valid with this invitation"):
                await register(server, spelling, invite)
        assert show(server, invite)["uses"] == 0
    assert not await has_account(server, "boss")
    operators = generate(server, "--username", "Boss")
    await register(server, "boss", operators)
    await used(server, operators)


async def test_a_name_that_only_has_some_of_its_letters_is_free(make_server):
    server = make_server(admins=["boss@example.org", "carol@example.net"])
    for name in ("bos", "bossy", "carol"):
        await register(server, name, generate(server))


async def test_roles_that_are_left_without_an_account(make_server):
    server = make_server()
    leave_roles(server, "boss")
    with pytest.raises(StanzaError, match=RESERVED):
        await register(server, "boss", await new_invite(await server.login("alice")))
    assert not await has_account(server, "boss")


async def test_roles_that_cannot_be_read_may_be_an_admins(make_server):
    server = make_server(settings=web_settings())
    roles = leave_roles(server, "boss")
    its = roles.read_text()
    roles.write_text(its[:-4])
    invite, visitor = await new_invite(await server.login("alice")), Visitor(server)
    with pytest.raises(StanzaError, match="^wait/internal-server-error"):
        await register(server, "boss", invite)
    assert (await visitor.register(invite, "boss")).status == 503
    assert roles.read_text() == its[:-4] and not await has_account(server, "boss")
    roles.write_text(its)
    with pytest.raises(StanzaError, match=RESERVED):
        await register(server, "boss", invite)
    await register(server, "carol", invite)


def leave_roles(server, username):
    """Has the server keep an admin's role for a name without an account. Returns the file."""
    store, role = {"0.12": ("roles", '["prosody:admin"] = true'),
                   "13": ("account_roles", '["_default"] = "prosody:operator"')}[server.prosody.version]
    file = server.prosody.data_folder / "example%2eorg" / store / f"{username}.dat"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"return {{ {role}; }};\n")
    return file


async def test_where_registration_is_open(make_server):
    server = make_server(settings=OPEN, last_lines=ROOMS)
    with pytest.raises(StanzaError, match=RESERVED):
        await register(server, "boss")
    await register(server, "carol")
    await register(server, "boss", generate(server, "--username", "boss"))
    assert await has_account(server, "boss")


async def test_in_a_browser(make_server):
    server = make_server(settings=web_settings(), admins=["boss@example.org", "bob3@example.org"], last_lines=ROOMS)
    invite, visitor = await new_invite(await server.login("alice")), Visitor(server)
    refused = await visitor.register(invite, "boss")
    assert refused.status == 409 and text("username_reserved", username="boss") in refused.text
    assert not await has_account(server, "boss")
    taken = await visitor.register(invite, "bob")
    assert taken.status == 409 and "bob2" in taken.text and "bob4" in taken.text and "bob3" not in taken.text
    operators = generate(server, "--username", "boss")
    assert (await visitor.register(operators)).status == 200
    await used(server, operators)


@pytest.mark.parametrize("options", [CALLERS["a component"], CALLERS["easy-invite"]], ids=["Prosody", "easy-invite"])
async def test_an_admin_makes_no_invite_for_it(make_server, options):
    server = make_server(**options)
    admin = await server.login("admin")
    shown = await admin.execute("example.org", CREATE_ACCOUNT)
    answered = await admin.execute("example.org", CREATE_ACCOUNT, action="complete", session=shown.get("sessionid"),
                                   form={"username": "boss"})
    assert answered.get("status") == "executing"
    assert "calls boss@example.org an admin" in form_values(form_in(answered))["error"]
    await new_account_invite(admin, {"username": "carol"})


async def test_an_admins_invite_from_before_it_was_called_so(make_server):
    server = make_server(settings=web_settings())
    invite = await new_account_invite(await server.login("admin"), {"username": "boss"})
    server.daemon.config["hosts"]["example.org"]["admins"] = ["boss@example.org"]
    server.daemon.restart()
    with pytest.raises(StanzaError, match=RESERVED):
        await register(server, "boss", invite)
    assert (await Visitor(server).register(invite, None, "kites and lamps")).status == 422
    assert not await has_account(server, "boss")
    assert show(server, invite)["uses"] == 0


async def test_the_operators_invite_of_prosodyctl(make_server):
    server = make_server(**CALLERS["a component"])
    code, output, errors = server.prosody.prosodyctl("mod_easy_invite", "generate", "example.org", "--username", "boss")
    assert (code, errors) == (0, "")
    await register(server, "boss", Invite(output.strip()))
    assert await has_account(server, "boss")


async def test_check_names_them(make_server):
    server = make_server(settings={"hosts": {"example.org": {"admins": ["chef@example.org", "alice@example.org"]}}},
                         admins=["admin@example.org", "BOSS@example.org", "ceo@example.net"], last_lines=ROOMS)
    warned = [line for line in checked(server) if line["part"] == "admins"]
    assert [(line["host"], line["ok"], line["warning"]) for line in warned] == [("example.org", True, True)]
    assert ": boss, chef. " in warned[0]["detail"]
    for name in ("boss", "chef"):
        await register(server, name, generate(server, "--username", name))
    assert "admins" not in [line["part"] for line in checked(server)]


def checked(server):
    """The lines of `check`."""
    done = server.daemon.cli("--json", "check")
    assert done.returncode == 0, done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]
