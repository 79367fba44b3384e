"""A name that people take for that of the server's staff is registered only with an invite for that
very name, in a client as in a browser, even where registration is open. So is a name that looks
like one. The refusal says what to do, and no such name is offered."""

import pytest

from harness.prosody import INVITE_HOST
from harness.server import Server
from harness.stories import (Invite, generate, has_account, new_account_invite, new_invite, register, show, used)
from harness.web import Visitor, text, web_settings
from harness.xmpp import StanzaError

# Of RFC 2142, of systems and services; and some that look like one.
NAMES = ["postmaster", "abuse", "hostmaster", "www", "root", "Administrator", "mailer-daemon", "xmpp", "sysadmin"]
LOOKALIKES = ["аdmin", "ｒｏｏｔ", "supp0rt", "adm1n", "adrnin", "no.reply", "_info_", "mai1er-daemon", "rοοt",
              "ádmin", "+root", "admin~", "adm!n", "vvebmaster", "VVVVVV"]
FREE = ["rooty", "адмирал", "newsy", "infoman"]
REFUSED = r"^cancel/conflict: The username .* is kept for .*\. Choose another one, or ask them for an invitation"

OPEN = {"registration_invite_only": False}
UNLIMITED = {"limits": {limit: "unlimited" for limit in ("wrong_tokens", "pages", "forms")}}
LISTED = {"example.net": {**OPEN, "reserved_usernames": ["Bob3", "chef"]}}


@pytest.fixture(scope="module")
def server(prosody_version, store_url, tmp_path_factory):
    """One host where registration is open, by the usual list, and one with a list of its own."""
    settings = {**web_settings(), **UNLIMITED}
    settings["hosts"] = {"example.org": {**settings["hosts"]["example.org"], **OPEN}, **LISTED}
    net = INVITE_HOST + '    easy_invite_component = "invite.example.org"\n'
    with Server(prosody_version, tmp_path_factory.mktemp("server"), store_url=store_url(), settings=settings,
                hosts={"example.org": INVITE_HOST, "example.net": net}) as running:
        yield running


async def test_no_client_registers_one_with_another_invite(server):
    invites = {"the operator's": generate(server, "--uses", "unlimited"), "none": None,
               "a user's": await new_invite(await server.login("alice")),
               "an admin's": await new_account_invite(await server.login("admin"), {"uses": "unlimited"})}
    for whose, invite in invites.items():
        for name in [*NAMES, *LOOKALIKES]:
            with pytest.raises(StanzaError, match=REFUSED):
                await register(server, name, invite, password="kites and lamps")
            assert not await has_account(server, name, password="kites and lamps"), (whose, name)
        assert invite is None or show(server, invite)["uses"] == 0


async def test_no_browser_does_and_none_is_offered(server):
    invite, visitor = generate(server, "--uses", "unlimited"), Visitor(server)
    for name in [*NAMES, *LOOKALIKES]:
        refused = await visitor.register(invite, name, "kites and lamps")
        assert refused.status == 409, (name, refused.text)
        assert "is kept for those who run this server. Choose another one, or ask" in refused.text, refused.text
        assert refused.fields["username"] == name, "nothing is offered that sounds like the server's own"
        assert text("suggestions", usernames="") not in refused.text
    assert show(server, invite)["uses"] == 0


async def test_an_invite_for_it_registers_it(server):
    admin = await server.login("admin")
    code, output, _ = server.prosody.prosodyctl("mod_easy_invite", "generate", "example.org", "--username", "noc")
    assert code == 0
    of_prosodyctl = Invite(f"preauth={output.strip().rpartition('/')[2]}")
    for name, invite in {"postmaster": generate(server, "--username", "postmaster"), "noc": of_prosodyctl,
                         "аdmin": generate(server, "--username", "аdmin"),
                         "support": await new_account_invite(admin, {"username": "Support"})}.items():
        with pytest.raises(StanzaError, match="not valid with this invitation"):
            await register(server, "root", invite)
        await register(server, name, invite)
        await used(server, invite)
    webmaster = generate(server, "--username", "webmaster")
    assert (await Visitor(server).register(webmaster, None, "kites and lamps")).status == 200
    assert await has_account(server, "webmaster", password="kites and lamps")


async def test_other_names_are_free(server):
    for name in FREE:
        await register(server, name)
        await register(server, f"{name}2", generate(server))


async def test_a_host_may_have_its_own_list(server):
    for name in ("chef", "CHEF", "сhef", "bob3"):
        with pytest.raises(StanzaError, match=REFUSED):
            await register(server, name, domain="example.net")
    await register(server, "root", domain="example.net")
    await register(server, "chef", generate(server, "--username", "chef", host="example.net"), domain="example.net")


@pytest.mark.one_setup
async def test_a_reserved_name_is_no_offer(make_server):
    settings = web_settings()
    settings["hosts"]["example.org"]["reserved_usernames"] = ["bob2"]
    server = make_server(settings=settings)
    taken = await Visitor(server).register(generate(server), "bob")
    assert taken.status == 409 and taken.fields["username"] == "bob3" and "bob2" not in taken.text
