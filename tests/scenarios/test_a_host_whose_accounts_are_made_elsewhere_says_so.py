"""Some hosts get their accounts from elsewhere: a directory, another program, nowhere. The operator,
the users and their guests are told so, at once, and nobody is told to try again. Contacts can be
invited all the same."""

import json

import pytest

from harness.prosody import INVITE_HOST
from harness.server import Server
from harness.stories import (CREATE_ACCOUNT, Invite, eventually, generate, new_invite, register, show)
from harness.web import Visitor, text, web_settings
from harness.xmpp import StanzaError, child, form_in

# The library that mod_auth_ldap needs, with a directory that has alice and bob.
LUALDAP = """
local people = { alice = "her password", bob = "his password" };
local directory = {};
function directory:search(how)
    local name = how.filter:match("uid=(%w+)");
    return function () if people[name] then return name, { userPassword = people[name] }; end end;
end
return { open_simple = function (_, name, password)
    if name == "" or people[name] == password then return directory; end
end };
"""
MODULES = {
    "in_other_words": """
        module:provides("auth", {
            user_exists = function (username) return username == "alice"; end;
            create_user = function () return false; end;
            set_password = function () return nil, "these accounts are implicit"; end;
            get_sasl_handler = function () return require "util.sasl".new(module.host, {}); end;
        });
    """,
    "without_methods": """
        module:provides("auth", {
            user_exists = function (username) return username == "alice"; end;
            get_sasl_handler = function () return require "util.sasl".new(module.host, {}); end;
        });
    """,
    # One of which nobody can know before it is tried.
    "after_a_try": """
        local tries = 0;
        local function refuse() tries = tries + 1; return nil, "Not implemented"; end
        module:provides("auth", {
            user_exists = function (username) return username == "alice"; end;
            create_user = refuse; set_password = refuse;
            get_sasl_handler = function () return require "util.sasl".new(module.host, {}); end;
        });
    """,
}
# What each host's provider says of its accounts, to the operator.
SAYS = {
    "ldap": "Account creation not available with LDAP.",
    "anonymous": "Account creation/modification not supported.",
    "in_other_words": "false",
    "without_methods": "method not implemented",
    "not_there": "mod_auth_not_there is not loaded",
}
NO_RESETS = [provider for provider in SAYS if provider != "ldap"]
each = pytest.mark.parametrize("provider", SAYS)


def host_of(provider):
    return f"{provider.replace('_', '-')}.example"


@pytest.fixture(scope="module")
def server(prosody_version, store_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    modules = folder / "modules"
    modules.mkdir()
    for name, code in MODULES.items():
        (modules / f"mod_auth_{name}.lua").write_text(code)
    (folder / "lualdap.lua").write_text(LUALDAP)
    hosts = {"example.org": INVITE_HOST} | {host_of(provider): f"""
        authentication = "{provider}"
        ldap_base = "dc=example"
        modules_enabled = {{ "easy_invite" }}
        easy_invite_component = "invite.example.org"
    """ for provider in [*SAYS, "after_a_try"]}
    settings = web_settings()
    settings["hosts"] |= {host: {"landing_page": None} for host in hosts}
    package = "Lua.package" if prosody_version == "13" else "package"
    with Server(prosody_version, folder, store_url=store_url(), hosts=hosts, settings=settings,
                plugin_folders=[modules],
                global_lines=f"{package}.path = {package}.path..';{folder}/?.lua'") as running:
        running.made_before = made_while_nobody_knows(running)
        yield running


def made_while_nobody_knows(server):
    """Invites that the operator made while the daemon was down."""
    for provider in [*SAYS, "after_a_try"]:  # since when alice has her name, somebody has to ask first
        host = host_of(provider)
        generate(server, "--contact", f"alice@{host}", "--contact-only", host=host)
    server.daemon.stop()
    made = {}
    for provider in [*SAYS, "after_a_try"]:
        host = host_of(provider)
        made[provider] = {"account": generate(server, host=host),
                          "both": generate(server, "--contact", f"alice@{host}", host=host),
                          "reset": generate(server, "--reset", "alice", host=host)}
    server.daemon.start()
    return made


def checked(server):
    """The details of the warnings about hooks, by their hosts."""
    done = server.daemon.cli("--json", "check")
    assert done.returncode == 0, done.stdout
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    warned = {}
    for line in lines:
        if line["part"] == "hook" and line["warning"]:
            warned[line["host"]] = warned.get(line["host"], "") + line["detail"]
    return warned


async def test_check_names_them(server):
    warned = checked(server)
    assert set(warned) == {host_of(provider) for provider in SAYS}, "and no other host"
    for provider, words in SAYS.items():
        assert "creates no accounts here" in warned[host_of(provider)] and words in warned[host_of(provider)]
    without_passwords = [provider for provider in SAYS if "sets no passwords" in warned[host_of(provider)]]
    assert without_passwords == NO_RESETS


@each
async def test_the_operator_makes_no_invite_that_could_not_be_used(server, provider):
    host = host_of(provider)
    for options in [[], ["--count", "3"], ["--username", "carol"], ["--contact", f"alice@{host}"]]:
        refused = server.daemon.cli("generate", host, *options)
        assert refused.returncode == 1 and refused.stdout == "", refused.stdout
        assert "creates no accounts here" in refused.stderr and SAYS[provider] in refused.stderr
    code, _, errors = server.prosody.prosodyctl("mod_easy_invite", "generate", host)
    assert code == 1 and text("no_registration_here", table="refusal", host=host) in errors
    reset = server.daemon.cli("generate", host, "--reset", "alice")
    assert ("sets no passwords here" in reset.stderr) == (provider in NO_RESETS), reset.stderr
    assert generate(server, "--contact", f"alice@{host}", "--contact-only", host=host)


@each
async def test_the_page_says_so_before_anybody_fills_in_a_form(server, provider):
    invites, visitor, host = server.made_before[provider], Visitor(server), host_of(provider)
    for page in ("", "register"):
        told = await visitor.get(visitor.path(invites["account"], page))
        assert (told.status, told.heading) == (422, text("not_possible"))
        assert text("no_registration_here", table="refusal", host=host) in told.text
        assert told.header("Retry-After") is None and text("try_again") not in told.text
    german = await visitor.get(visitor.path(invites["account"]), {"Accept-Language": "de"})
    assert text("no_registration_here", language="de", table="refusal", host=host) in german.text
    if provider in NO_RESETS and provider != "anonymous":
        told = await visitor.get(visitor.path(invites["reset"]))
        assert text("no_reset_here", table="refusal", host=host) in told.text


@each
async def test_a_client_is_told_why(server, provider):
    invites, host = server.made_before[provider], host_of(provider)
    words = text("no_registration_here", table="refusal", host=host)
    async with await server.connect(host) as stream:
        with pytest.raises(StanzaError, match=f"cancel/item-not-found: {words}"):
            await stream.preauth(invites["account"].token)
    with pytest.raises(StanzaError, match=f"cancel/feature-not-implemented: {words}"):
        await register(server, "carol", domain=host)
    assert show(server, invites["account"])["uses"] == 0


async def test_users_invite_contacts(server):
    host = host_of("ldap")
    async with await server.login("alice", "her password", domain=host) as alice:
        made = await new_invite(alice)
        assert "?roster;" in made.uri and "ibr=y" not in made.uri
    visitor = Visitor(server)
    for invite in (made, server.made_before["ldap"]["both"]):
        page = await visitor.get(visitor.path(invite))
        assert (page.status, page.heading) == (200, text("contact_heading", inviter=f"alice@{host}"))
        assert text("register_here") not in page.text
    async with await server.login("bob", "his password", domain=host) as bob:
        await bob.roster()
        bob.send(f"<presence type='subscribe' to='alice@{host}'>"
                       f"<preauth xmlns='urn:xmpp:pars:0' token='{made.token}'/></presence>")
        await eventually(lambda: show(server, made)["uses"] == 1, "bob is a contact")


async def test_an_admins_form_says_so(make_server, tmp_path):
    (tmp_path / "mod_auth_ours.lua").write_text(MODULES["in_other_words"].replace(
        "sasl\".new(module.host, {})",
        'sasl".new(module.host, { plain_test = function () return true, true; end })'))
    server = make_server(plugin_folders=[tmp_path], hosts={"example.org": INVITE_HOST, "ours.example": """
        authentication = "ours"
        admins = { "alice@ours.example" }
        modules_enabled = { "easy_invite" }
        easy_invite_component = "invite.example.org"
    """})
    async with await server.login("alice", domain="ours.example") as alice:
        told = await alice.execute("ours.example", CREATE_ACCOUNT, form={"username": "carol"})
        assert told.get("status") == "completed" and form_in(told) is None  # nothing to correct
        assert "The accounts of ours.example are not created here" in child(told, "note").text
        assert "?roster;" in (await new_invite(alice)).uri


async def test_one_that_refuses_only_when_it_is_tried(server):
    invites, visitor, host = server.made_before["after_a_try"], Visitor(server), host_of("after_a_try")
    form = await visitor.filled_in(invites["account"], "carol")
    for _ in range(2):
        told = await visitor.post(visitor.path(invites["account"], "register"), form)
        assert text("no_registration_here", table="refusal", host=host) in told.text, told.text
        assert told.header("Retry-After") is None
    told = await visitor.reset(invites["reset"], "kites and lamps")
    assert text("no_reset_here", table="refusal", host=host) in told.text, told.text
    await eventually(lambda: show(server, invites["account"])["uses"] == 0, "no use is taken")


@pytest.mark.one_setup
async def test_one_that_is_there_again(make_server, tmp_path):
    module = tmp_path / "mod_auth_mended.lua"
    module.write_text(MODULES["without_methods"])
    server = make_server(plugin_folders=[tmp_path], hosts={"example.org": INVITE_HOST, "mended.example": """
        authentication = "mended"
        modules_enabled = { "easy_invite" }
        easy_invite_component = "invite.example.org"
    """})
    assert server.daemon.cli("generate", "mended.example").returncode == 1
    with pytest.raises(StanzaError, match="cancel/feature-not-implemented"):
        await register(server, "carol", domain="mended.example")
    module.write_text(MODULES["without_methods"].replace("get_sasl", """
            create_user = function (username) module.made = username; return true; end;
            set_password = function (username) return module.made == username; end;
            get_sasl""", 1))
    server.prosody.shell('module:reload("auth_mended", "mended.example")')
    invite = generate(server, host="mended.example")
    await register(server, "carol", invite, domain="mended.example")
