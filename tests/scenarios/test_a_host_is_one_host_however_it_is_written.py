"""A host with other letters than ASCII is known to its server and to people as `münchen.example`,
and to DNS as `xn--mnchen-3ya.example`. In both configurations, in commands and in forms either is
the same host, in capitals as well. Links, QR codes and headers are ASCII; people read the letters.
"""

import json
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

import pytest

from harness.chromium import chromium, fill_in, open_page, press, read_code, text_of
from harness.clients import Conversations, Monal, Siskin
from harness.gate import GATE, component
from harness.prosody import COMPONENT_SECRET, INVITE_HOST
from harness.server import Server, password_of
from harness.stories import (CREATE_ACCOUNT, NEW_INVITE, PASSWORD_RESET, Invite, eventually, fill_in as fill_in_form,
                             generate, has_account, register)
from harness.web import Visitor, web_settings
from harness.xmpp import ADHOC, StanzaError

HOST = "münchen.example"
SPELLINGS = ["münchen.example", "xn--mnchen-3ya.example", "MÜNCHEN.Example", "XN--Mnchen-3YA.example.",
             "ｍünchen。example"]
IN_DNS = "xn--mnchen-3ya.example"
IN_URIS = "m%C3%BCnchen.example"  # RFC 5122, section 2.7.2: Monal and Siskin know nothing of "xn--"
COMPONENT = "einladung.münchen.example"

pytestmark = pytest.mark.seconds(120)


@pytest.fixture(scope="module")
def server(prosody_version: str, store_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory):
    """A server in whose files each name is spelled otherwise, with pages at an address that is not
    ASCII either."""
    web = web_settings()["web"]
    web["public_url"] = f"http://Einladung.Köln.example:{web['listen'].rpartition(':')[2]}/größe"
    settings = {"web": web, "component": {"jid": "Einladung.XN--mnchen-3ya.example"},
                "hosts": {HOST: None, "XN--Mnchen-3YA.example": {"admins": [f"bob@{IN_DNS}"]}}}
    lines = INVITE_HOST + '    easy_invite_component = "EINLADUNG.xn--mnchen-3ya.Example."\n'
    with Server(prosody_version, tmp_path_factory.mktemp("server"), store_url=store_url(), settings=settings,
                hosts={HOST: lines}, admins=[f"admin@{HOST}"],
                components={"Einladung.München.Example": COMPONENT_SECRET, IN_DNS: COMPONENT_SECRET}) as running:
        yield running


async def test_check_finds_all_parts(server):
    checked = server.daemon.cli("--json", "check")
    lines = [json.loads(line) for line in checked.stdout.splitlines()]
    assert checked.returncode == 0 and all(line["ok"] for line in lines), checked.stdout
    assert [line["host"] for line in lines if line["part"] == "hook"] == [HOST]


@pytest.mark.parametrize("client", [Conversations, Monal, Siskin], ids=lambda client: client.name)
async def test_a_newcomer_joins_by_a_friends_link(server, client):
    alice = Conversations(server)
    await alice.log_in("alice", password_of("alice"))
    invite = await alice.create_invite()  # Conversations refuses a link to another address than alice's
    assert invite.uri.startswith(f"xmpp:alice@{IN_URIS}?roster;") and invite.landing_url.isascii()
    newcomer, name = client(server), f"jürgen-{client.name.lower()[:5]}"
    await newcomer.join(invite.uri, name, password_of(name))
    assert (await newcomer.stream.roster())[f"alice@{HOST}"].subscription == "both"
    assert (await alice.stream.roster())[f"{name}@{HOST}"].subscription == "both"


async def test_a_name_that_is_not_ascii_is_reserved(server):
    invite = generate(server, "--username", f"Jörg@{IN_DNS}", "--contact", f"alice@{SPELLINGS[3]}")
    assert invite.uri == f"xmpp:j%C3%B6rg@{IN_URIS}?register;preauth={invite.token}"
    joerg = Monal(server)
    await joerg.join(invite.uri, "jörg", password_of("jörg"))
    assert f"alice@{HOST}" in await joerg.stream.roster()


async def test_the_command_line_takes_every_spelling(server):
    for spelling in SPELLINGS:
        made = server.daemon.cli("--json", "generate", spelling, "--contact", f"bob@{spelling}", "--note", spelling)
        assert made.returncode == 0, made.stderr
        invite = json.loads(made.stdout)
        assert (invite["host"], invite["inviter"]) == (HOST, f"bob@{HOST}")
        assert (invite["uri"] + invite["landing_url"]).isascii()
        listed = server.daemon.cli("--json", "list", spelling, "--inviter", f"bob@{spelling}")
        assert spelling in [json.loads(line)["note"] for line in listed.stdout.splitlines()]
    revoked = server.daemon.cli("revoke", "--inviter", f"bob@{IN_DNS}")
    assert revoked.stdout == f"pending invites of bob@{HOST} revoked: {len(SPELLINGS)}\n", revoked.stderr
    assert HOST in server.daemon.cli("generate", "elsewhere.example").stderr, "the hosts that it serves"


async def test_prosodyctl_takes_every_spelling(server):
    for number, spelling in enumerate(SPELLINGS):
        code, output, errors = server.prosody.prosodyctl("mod_easy_invite", "generate", spelling)
        assert (code, errors) == (0, ""), spelling
        await register(server, f"guest-{number}", Invite(f"preauth={output.strip().rpartition('/')[2]}"))


async def test_admins_and_commands_take_every_spelling(server):
    async with await server.login("bob") as bob:
        assert CREATE_ACCOUNT in await bob.commands(HOST), "bob is an admin in the daemon's configuration"
        for spelling in SPELLINGS:
            link = await fill_in_form(bob, PASSWORD_RESET, {"accountjid": f"alice@{spelling}"}, COMPONENT)
            assert link.uri.startswith(f"xmpp:alice@{IN_URIS}?register;")
        assert CREATE_ACCOUNT in await bob.commands("EINLADUNG.MÜNCHEN.example")


async def test_on_a_stream_only_the_hosts_own_name_counts(server):
    """There, Prosody takes the name that DNS has for another server's, which may be anybody's."""
    other = await component(server, IN_DNS)
    new_invite = f"<command xmlns='{ADHOC}' node='{NEW_INVITE}' action='execute'/>"
    for sender, type, payload in [(IN_DNS, "get", f"<check xmlns='{GATE}' token='{'x' * 24}'/>"),
                                  (IN_DNS, "set", f"<generate xmlns='{GATE}'/>"),
                                  (f"alice@{IN_DNS}/x", "set", new_invite)]:
        with pytest.raises(StanzaError, match="cancel/not-allowed|auth/forbidden"):
            await other.ask(type, payload, COMPONENT, sender=sender)


async def test_the_form_takes_an_address_in_every_spelling(server):
    public = urlsplit(server.daemon.config["web"]["public_url"])
    origin = f"http://einladung.xn--kln-sna.example:{public.port}"  # as browsers write it
    invite = generate(server, "--uses", "unlimited")
    for number, spelling in enumerate(SPELLINGS):
        visitor = Visitor(server, headers={"Host": ["einladung.xn--kln-sna.example", "127.0.0.1"][number % 2]})
        path = f"/gr%C3%B6%C3%9Fe/i/{invite.token}/register"
        form = (await visitor.get(path)).fields
        answers = {**form, "username": f"maria-{number}@{spelling}", "password": password_of(f"maria-{number}")}
        welcome = await visitor.post(path, answers, {"Origin": origin})
        assert welcome.status == 200 and f"maria-{number}@{HOST}" in welcome.text, welcome.text
    elsewhere = await visitor.post(path, {**answers, "username": "maria@munchen.example"}, {"Origin": origin})
    assert elsewhere.status == 422
    foreign = await visitor.post(path, answers, {"Origin": origin.replace("xn--kln-sna", "koln")})
    assert foreign.status == 403


async def test_programs_read_the_link_in_a_header(server):
    invite = generate(server, "--username", "zoë")
    found = await Visitor(server).head(f"/gr%C3%B6%C3%9Fe/i/{invite.token}")
    assert found.header("Link") == f'<{invite.uri}>; rel="alternate"'
    assert unquote(invite.uri).startswith(f"xmpp:zoë@{HOST}?")
    moved = await Visitor(server).get(f"/i/{invite.token}/reset")
    assert moved.header("Location") == f"/gr%C3%B6%C3%9Fe/i/{invite.token}/register"


async def test_a_newcomer_registers_in_a_browser(server):
    alice = Conversations(server)
    await alice.log_in("alice", password_of("alice"))
    invite = await alice.create_invite()
    async with chromium("--host-resolver-rules=MAP einladung.xn--kln-sna.example 127.0.0.1") as browser:
        page = await open_page(browser, invite.landing_url, device="windows")
        assert f"alice@{HOST} invites you to chat" in await text_of(page)
        assert await read_code(page.locator(".qr").first) == invite.landing_url
        await press(page, "Scan it with a chat app")
        assert await read_code(page.locator("details .qr")) == invite.uri
        await press(page, "Create my account here")
        password = await fill_in(page, username="carol", password=password_of("carol"))
        assert f"Welcome, carol@{HOST}" in await text_of(page)
        await page.goto(invite.landing_url.replace(Invite(invite.uri).token, "x" * 24))
        assert "einladung.köln.example" in await text_of(page), "whose page it is"
    assert await has_account(server, "carol", password=password)


async def test_capitals_in_either_file_are_the_same_component(make_server):
    server = make_server(
        hosts={"Example.ORG": INVITE_HOST + '    easy_invite_component = "Invite.Example.Org"\n'},
        components={"INVITE.example.org": COMPONENT_SECRET},
        settings={"component": {"jid": "Invite.EXAMPLE.org"}, "hosts": {"Example.ORG": {"landing_page": None}}})
    invite = generate(server)
    assert invite.uri.startswith("xmpp:example.org?register;")
    await register(server, "carol", invite)
    assert await has_account(server, "carol")


async def test_a_name_that_only_dns_can_say_stays_as_it_is(make_server):
    host = "xn--strae-oqa.example"  # "straße", of which XMPP makes "strasse": another domain
    server = make_server(hosts={host: INVITE_HOST}, components={f"invite.{host}": COMPONENT_SECRET})
    invite = generate(server, host=host.upper())
    assert invite.uri == f"xmpp:{host}?register;preauth={invite.token}"
    await Monal(server).join(invite.uri, "carol", password_of("carol"))


async def test_a_spelling_that_no_client_finds_is_named(make_server):
    """Prosody does not take "xn--…" and its letters for one host, and clients send the letters."""
    server = make_server(
        run_daemon=False, hosts={IN_DNS: INVITE_HOST}, components={f"invite.{IN_DNS}": COMPONENT_SECRET})
    assert f'write VirtualHost "{HOST}" instead of "{IN_DNS}"' in server.prosody.log
    server.daemon.start(wait=False)
    wanted = f'add Component "invite.{HOST}" (not "invite.{IN_DNS}")'
    await eventually(lambda: wanted in server.daemon.log, "the daemon says how to write the component")
    with pytest.raises(StanzaError, match="wait/resource-constraint"):
        await register(server, "carol", domain=IN_DNS)
    server.kill()
    server.prosody.components = {f"invite.{HOST}": COMPONENT_SECRET}
    server.start()
    checked = server.daemon.cli("check")
    hook = next(line for line in checked.stdout.splitlines() if line.startswith("hook"))
    assert checked.returncode == 1 and f'it needs VirtualHost "{HOST}" (not "{IN_DNS}")' in hook, checked.stdout
