"""The daemon, its store, the chat server, its storage or one of its modules fails. People read
which part it is and whether it helps to try again, and the operator reads why. "The chat server
cannot be reached" is said only if that is true."""

import json

import pytest

from harness.prosody import INVITE_HOST
from harness.server import Server
from harness.stories import generate, new_invite, register, show
from harness.web import Visitor, text, web_settings
from harness.xmpp import StanzaError

GATE = "urn:easy-invite:gate:1"
# Answers questions about some users as another hook would, or refuses as another module would.
BETWEEN = """
local st = require "util.stanza";
answers = {
    old = function (stanza) return st.error_reply(stanza, "cancel", "service-unavailable"); end;
    never = function (stanza) return st.error_reply(stanza, "cancel", "feature-not-implemented", "no"); end;
    strange = function (stanza) return st.reply(stanza):tag("what", { xmlns = "urn:easy-invite:gate:1" }); end;
    empty = function (stanza) return st.reply(stanza); end;
    unable = function (stanza) return st.error_reply(stanza, "wait", "internal-server-error", "the disk is full"); end;
    late = function () end;
};
about = {}; -- [username] = the name of an answer to every question about this user
local function answer(event)
    local username = event.stanza.tags[1].attr.username;
    local is_create = event.stanza.tags[1].name == "create";
    local name = about[username] or is_create and username;
    if not answers[name] then return; end
    local reply = answers[name](event.stanza);
    if reply then event.origin.send(reply); end
    return true;
end
for _, question in ipairs { "get/host/urn:easy-invite:gate:1:account", "set/host/urn:easy-invite:gate:1:create" } do
    module:hook("iq-"..question, answer, 10);
end
local refusals = {
    closed = { type = "wait", condition = "service-unavailable", text = "We are closed on Sundays" };
    full = { type = "wait", condition = "resource-constraint", text = "This server is full. Come back in May" };
    barred = { type = "cancel", condition = "not-allowed", text = "This name is barred" };
};
module:hook("user-registering", function (event)
    if event.username == "broken" then error("a bug of this module"); end
    if refusals[event.username] then event.allowed, event.error = false, refusals[event.username]; end
end);
"""


@pytest.fixture(scope="module")
def server(prosody_version, store_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    (folder / "mod_between.lua").write_text(BETWEEN)
    settings = web_settings()
    settings["hosts"] |= {"nowhere.example": {}, "bare.example": {}}
    settings["limits"] = {"pages": "unlimited", "forms": "unlimited"}
    hosts = {"example.org": INVITE_HOST.replace('"easy_invite"', '"easy_invite", "between"'), "bare.example": ""}
    with Server(prosody_version, folder, store_url=store_url(), hosts=hosts, settings=settings,
                plugin_folders=[folder]) as running:
        (running.prosody.data_folder / "example%2eorg" / "accounts" / "torn.dat").write_text("")
        yield running


def answer_about(server, username, name):
    between = 'prosody.hosts["example.org"].modules.between'
    server.prosody.shell(f"> {between}.module.environment.about.{username} = {json.dumps(name) if name else 'nil'}")


FAILURES = {
    "torn": "unable",  # Prosody's own storage
    "unable": "unable",
    "broken": "unable",
    "old": "not_set_up",
    "strange": "not_set_up",
    "empty": "not_set_up",
}
OWN_WORDS = {"closed": "We are closed on Sundays", "full": "This server is full. Come back in May",
             "barred": "This name is barred"}


async def test_in_a_browser(server):
    visitor, invite = Visitor(server), generate(server)
    for username, words in FAILURES.items():
        told = await visitor.register(invite, username, "correct horse battery")
        assert text(words, table="failure") in told.text, f"{username}: {told.text}"
        passes = words != "not_set_up"
        assert (told.status, told.header("Retry-After")) == ((503, "60") if passes else (500, None)), username
        german = await visitor.post(visitor.path(invite, "register"),
                                    await visitor.filled_in(invite, username, "correct horse battery"),
                                    {"Accept-Language": "de"})
        assert text(words, language="de", table="failure") in german.text
    assert show(server, invite)["uses"] == 0


async def test_a_module_that_refuses_speaks_for_itself(server):
    visitor, invite = Visitor(server), generate(server)
    for username, words in OWN_WORDS.items():
        told = await visitor.register(invite, username, "correct horse battery")
        assert words in told.text and text("unable", table="failure") not in told.text, username
        with pytest.raises(StanzaError, match=words):
            await register(server, username, invite)
    told = await visitor.register(invite, "never", "correct horse battery")
    assert text("no_registration_here", table="refusal", host="example.org") in told.text


async def test_the_log_says_what_to_do(server):
    visitor, invite = Visitor(server), generate(server)
    for username, words in [("old", "of another version than this daemon"), ("unable", "the disk is full"),
                            ("strange", "prosody-module"), ("torn", "cannot be read")]:
        before = len(server.daemon.log)
        await visitor.register(invite, username, "correct horse battery")
        assert words in server.daemon.log[before:], username


async def test_a_chat_server_that_takes_too_long(server):
    visitor, invite = Visitor(server), generate(server)
    form = await visitor.filled_in(invite, "carol", "correct horse battery")
    answer_about(server, "carol", "late")
    told = await visitor.post(visitor.path(invite, "register"), form)
    assert text("late", table="failure") in told.text and told.status == 503
    answer_about(server, "carol", None)
    assert (await visitor.post(visitor.path(invite, "register"), form)).status == 200


async def test_a_user_with_a_client(server):
    async with await server.login("bob") as bob:
        for name, words in [("old", "not_set_up"), ("strange", "not_set_up"), ("unable", "unable"), ("late", "late")]:
            answer_about(server, "bob", name)
            with pytest.raises(StanzaError, match=f"wait/resource-constraint: {text(words, table='failure')}"):
                await new_invite(bob)
        answer_about(server, "bob", None)
        await new_invite(bob)


async def test_accounts_that_prosody_cannot_read_are_no_fault_of_the_invitation(server):
    with pytest.raises(StanzaError, match="wait/internal-server-error: The server cannot do this now"):
        await register(server, "torn", generate(server))


async def test_a_host_without_the_module_and_one_that_prosody_does_not_know(server):
    server.daemon.stop()
    invites = {host: generate(server, host=host) for host in ("bare.example", "nowhere.example")}
    server.daemon.start()
    visitor = Visitor(server)
    for host, invite in invites.items():
        told = await visitor.register(invite, "carol", "correct horse battery")
        assert text("not_set_up", table="failure") in told.text and told.header("Retry-After") is None, host
    done = server.daemon.cli("--json", "check")
    lines = {line["host"]: line for line in map(json.loads, done.stdout.splitlines()) if line["part"] == "hook"}
    assert done.returncode == 1 and lines["example.org"]["ok"]
    assert 'add "easy_invite" to its modules_enabled' in lines["bare.example"]["detail"]
    assert "nowhere.example is not a VirtualHost of the connected server" in lines["nowhere.example"]["detail"]


async def test_check_names_a_hook_of_another_version_and_a_slow_one(make_server, tmp_path):
    (tmp_path / "mod_hello.lua").write_text("""
        local st = require "util.stanza";
        module:hook("iq-get/host/urn:easy-invite:gate:1:hello", function (event)
            if how == "strange" then event.origin.send(st.reply(event.stanza):tag("hello")); end
            if how == "unable" then
                event.origin.send(st.error_reply(event.stanza, "wait", "internal-server-error", "the disk is full"));
            end
            return true;
        end, 10);
    """)
    server = make_server(plugin_folders=[tmp_path],
                         hosts={"example.org": INVITE_HOST.replace('"easy_invite"', '"easy_invite", "hello"')})
    for how, words in [("strange", "of another version"), ("unable", "the disk is full"), ("late", "within 4 s")]:
        server.prosody.shell(f'> prosody.hosts["example.org"].modules.hello.module.environment.how = "{how}"')
        done = server.daemon.cli("--json", "check")
        line = json.loads(done.stdout.splitlines()[-1])
        assert done.returncode == 1 and words in line["detail"], line
        assert ("prosody-module" in line["detail"]) == (how == "strange"), "advice that does not fit"


async def test_prosody_is_down(make_server):
    server = make_server(settings=web_settings())
    visitor, invite = Visitor(server), generate(server)
    form = await visitor.filled_in(invite, "carol", "correct horse battery")
    server.prosody.kill()
    told = await visitor.post(visitor.path(invite, "register"), form)
    assert text("unreachable", table="failure") in told.text
    code, _, errors = server.prosody.prosodyctl("mod_easy_invite", "generate", "example.org")
    assert code == 1 and "Cannot reach Prosody" in errors
    server.daemon.stop()
    server.prosody.start()
    code, _, errors = server.prosody.prosodyctl("mod_easy_invite", "generate", "example.org")
    assert code == 1 and "is not connected: does easy-invite run?" in errors
