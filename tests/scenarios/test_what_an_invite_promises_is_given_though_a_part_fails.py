"""Each role, each group and each direction of the contact is given by itself. A grant that fails
for good is logged once and shown by `show` and `check`, and does not keep back the other grants or
the use. A grant that cannot be stored now is given later. Nothing is given twice."""

import json
import shutil

import pytest

from harness.gate import PlayedDaemon
from harness.prosody import INVITE_HOST
from harness.server import password_of
from harness.stories import (
    CREATE_ACCOUNT,
    eventually,
    generate,
    has_account,
    register,
    show,
    used,
)
from harness.web import Visitor, text, web_settings
from harness.xmpp import ROSTER, StanzaError

ALICE, CAROL = "alice@example.org", "carol@example.org"
WITH_GROUPS = {"example.org": INVITE_HOST.replace("{ ", '{ "groups_internal", ')}
FOR_GOOD = 180  # seconds: three failures within half a minute or more, settled every ten seconds

FAIL_FOR_CHOIR = """
    local groups = require "core.modulemanager".get_module("example.org", "groups_internal");
    local add = groups.add_member;
    function groups.add_member(group, name) if group == "choir" then %s end return add(group, name); end
"""
FAIL_FOR_ROLE = """
    local users = require "core.usermanager";
    for _, name in ipairs { "set_user_role", "set_roles" } do
        local set = users[name];
        users[name] = set and function (...) %s return set(...); end
    end
"""


def run_in(server, lua):
    """Runs Lua in the server, as an operator can."""
    server.prosody.shell("> " + " ".join(line.strip() for line in lua.splitlines()))


def shortfalls(server, invite):
    """What `show` and `check` say could not be given: both say the same."""
    failed = [text for shortfall in show(server, invite).get("shortfalls", []) for text in shortfall["failed"]]
    checked = [json.loads(line) for line in server.daemon.cli("--json", "check").stdout.splitlines()]
    warned = [line["detail"] for line in checked if line["part"] == "grants"]
    assert all(line["ok"] and line["warning"] for line in checked if line["part"] == "grants")
    assert (len(warned) > 0) == (len(failed) > 0) and all(text in "".join(warned) for text in failed), (warned, failed)
    assert all(text in server.daemon.cli("show", invite.uri).stdout for text in failed)
    return failed


async def join(server, door, invite):
    """carol registers through a door."""
    if door == "browser":
        welcome = await Visitor(server).register(invite, "carol")
        assert (welcome.status, welcome.heading) == (200, text("welcome", account=CAROL))
    else:
        await register(server, "carol", invite)


async def contacts_of(server, username):
    async with await server.login(username) as user:
        return {contact: item.subscription for contact, item in (await user.roster()).items()}


@pytest.mark.parametrize("door", ["client", "browser"])
@pytest.mark.parametrize("failure", ['error("boom")', 'return nil, "boom"'], ids=["raises", "refuses"])
@pytest.mark.seconds(150)
async def test_a_group_that_keeps_failing(make_server, failure, door):
    server = make_server(hosts=WITH_GROUPS, settings=web_settings())
    run_in(server, FAIL_FOR_CHOIR % failure)
    await join(server, door, invite := generate(
        server, "--role", "prosody:admin", "--group", "choir", "--group", "family", "--contact", ALICE))
    assert await contacts_of(server, "carol") == {ALICE: "both"}
    assert await contacts_of(server, "alice") == {CAROL: "both"}
    async with await server.login("carol") as carol:
        assert CREATE_ACCOUNT in await carol.commands("example.org")
        await carol.ask("set", f"<query xmlns='{ROSTER}'><item jid='{ALICE}' subscription='remove'/></query>")
    assert show(server, invite)["uses"] == 0 and shortfalls(server, invite) == []
    await eventually(lambda: show(server, invite)["state"] == "redeemed", "the use is counted", FOR_GOOD)
    failed, = shortfalls(server, invite)
    assert failed.startswith('could not add carol to the group "choir": ') and failed.endswith("boom")
    log = server.prosody.log
    assert log.count('Could not add carol to the group "choir"') == 1
    assert log.count("Members of family: carol") == 1, "what is given is not given again"
    assert await contacts_of(server, "carol") == {}, "nor is a contact who was removed"
    server.prosody.deluser(CAROL)
    await eventually(lambda: shortfalls(server, invite) == [], "nobody needs it any more")


@pytest.mark.parametrize("failure", ['error("boom")', 'return nil, "boom"'], ids=["raises", "refuses"])
@pytest.mark.seconds(150)
async def test_a_role_that_keeps_failing(make_server, failure):
    server = make_server(hosts=WITH_GROUPS)
    run_in(server, FAIL_FOR_ROLE % f"do {failure} end")
    invite = generate(server, "--role", "prosody:member", "--group", "family", "--contact", ALICE)
    await register(server, "carol", invite)
    assert await contacts_of(server, "carol") == {ALICE: "both"}
    assert "Members of family: carol" in server.prosody.log
    await eventually(lambda: show(server, invite)["state"] == "redeemed", "the use is counted", FOR_GOOD)
    failed, = shortfalls(server, invite)
    assert failed.startswith('could not give carol the role "prosody:member": ') and failed.endswith("boom")
    assert server.prosody.log.count("Could not give carol the role") == 1


async def test_a_role_that_allows_less_is_there_from_the_beginning(make_server):
    """If it were given afterwards and failed, the account would keep more than it was invited to."""
    server = make_server(version="13")  # 0.12 has no such roles
    run_in(server, FAIL_FOR_ROLE % 'do error("boom") end')
    await register(server, "carol", invite := generate(server, "--role", "prosody:guest"))
    await used(server, invite)
    assert "prosody:guest" in server.prosody.shell(
        '> require "core.usermanager".get_user_role("carol", "example.org").name')
    assert shortfalls(server, invite) == []


async def test_what_is_not_there_is_no_reason_to_wait(make_server):
    server = make_server()
    invite = generate(server, "--role", "emperor", "--group", "family", "--contact", ALICE)
    await register(server, "carol", invite)
    await used(server, invite)
    failed = shortfalls(server, invite)
    assert failed[0] == 'could not add carol to the group "family": mod_groups_internal is not enabled'
    if server.prosody.version == "13":  # 0.12 takes any name for a role
        assert failed[1] == 'could not give carol the role "emperor": there is no such role'
        assert server.prosody.log.count('Could not give carol the role "emperor"') == 1
    assert server.prosody.log.count("mod_groups_internal is not enabled") == 1
    server.prosody.shell("module:load('groups_internal', 'example.org')")
    assert await contacts_of(server, "carol") == {ALICE: "both"}
    assert "Members of family" not in server.prosody.log


async def test_a_group_that_there_is_not(make_server):
    server = make_server(hosts=WITH_GROUPS)
    run_in(server, FAIL_FOR_CHOIR % 'return nil, "group-not-found"')
    await register(server, "carol", invite := generate(server, "--group", "choir", "--group", "family"))
    await used(server, invite)
    assert shortfalls(server, invite) == ['could not add carol to the group "choir": there is no such group']
    assert "Members of family: carol" in server.prosody.log


@pytest.mark.parametrize("restart", [False, True], ids=["", "restarted"])
@pytest.mark.parametrize("stuck", ["alice", "carol", "roles"])
@pytest.mark.seconds(120)
async def test_what_cannot_be_stored_now_is_given_later(make_server, stuck, restart):
    server = make_server(hosts=WITH_GROUPS)
    if stuck == "roles":
        run_in(server, FAIL_FOR_ROLE % 'if not prosody.mended then return nil, "Error saving to storage" end')
    else:
        blocked = in_the_way(server, "roster", stuck)
    invite = generate(server, "--role", "prosody:admin", "--group", "family", "--contact", ALICE)
    await register(server, "carol", invite)
    assert "Members of family: carol" in server.prosody.log
    expected = {"alice": ({ALICE: "both"}, {}), "carol": ({}, {CAROL: "both"}),
                "roles": ({ALICE: "both"}, {CAROL: "both"})}[stuck]
    assert (await contacts_of(server, "carol"), await contacts_of(server, "alice")) == expected
    assert show(server, invite)["uses"] == 0 and shortfalls(server, invite) == []
    if stuck == "roles":
        run_in(server, "prosody.mended = true")
    else:
        shutil.rmtree(blocked)
    if restart:
        server.prosody.restart()
    await eventually(lambda: show(server, invite)["state"] == "redeemed", "the use is counted")
    assert await contacts_of(server, "carol") == {ALICE: "both"}
    assert await contacts_of(server, "alice") == {CAROL: "both"}
    async with await server.login("carol") as carol:
        assert CREATE_ACCOUNT in await carol.commands("example.org")
    assert server.prosody.log.count("Members of family: carol") == 1, "what is given is not given again"
    assert shortfalls(server, invite) == []
    assert not list(server.prosody.data_folder.glob("*/easy_invite_grants/*")), "nothing is left to remember"


def in_the_way(server, store, username):
    """Puts a folder where the server keeps a file."""
    folder = server.prosody.data_folder / "example%2eorg" / store / f"{username}.dat"
    folder.mkdir(parents=True)
    return folder


async def test_a_contact_list_that_both_need(make_server):
    """An invite to become a contact alone: the inviter's list cannot be written."""
    server = make_server()
    alice = await server.login("alice")
    invite = generate(server, "--contact", ALICE, "--contact-only")
    blocked = in_the_way(server, "roster", "alice")
    bob = await server.login("bob")
    bob.subscribe(ALICE, invite.token)
    await bob.roster_push(ALICE, "both")
    assert "bob@example.org" not in await alice.roster()
    shutil.rmtree(blocked)
    await eventually(lambda: show(server, invite)["state"] == "redeemed", "the use is counted")
    assert (await alice.roster())["bob@example.org"].subscription == "both"


@pytest.mark.seconds(150)
async def test_a_module_that_objects_to_contacts(make_server):
    server = make_server()
    run_in(server, """
        prosody.hosts["example.org"].events.add_handler("presence/bare", function (event)
            if event.stanza.attr.type == "subscribed" then error("boom") end
        end, 1000)
    """)
    await server.login("alice")
    bob, invite = await server.login("bob"), generate(server, "--contact", ALICE, "--contact-only")
    bob.subscribe(ALICE, invite.token)
    await eventually(lambda: show(server, invite)["state"] == "redeemed", "the use is counted", FOR_GOOD)
    failed = shortfalls(server, invite)[-1]
    assert failed.startswith(f"could not make {ALICE} a contact of bob@example.org: ") and failed.endswith("boom")
    assert server.prosody.log.count("Could not make") == 1
    assert (await contacts_of(server, "alice"))["bob@example.org"] in ("from", "both")


async def test_what_users_have_changed_since_stays(make_server):
    """The daemon asks once more about what the server has told it already."""
    server = make_server(run_daemon=False, hosts=WITH_GROUPS)
    daemon = await PlayedDaemon.connect(server)
    granted = {"groups": ["family"], "contact": ALICE}
    assert await daemon.create("r1", "carol", password_of("carol"), **granted) == "made"
    async with await server.login("carol") as carol:
        await carol.ask("set", f"<query xmlns='{ROSTER}'><item jid='{ALICE}' subscription='remove'/></query>")
    assert await daemon.settle("r1", "carol", **granted) == "made"
    assert await contacts_of(server, "carol") == {}
    assert server.prosody.log.count("Members of family: carol") == 1


async def test_who_deletes_an_account_that_lacks_something_gets_no_use_back(make_server):
    server = make_server(run_daemon=False, hosts=WITH_GROUPS)
    daemon = await PlayedDaemon.connect(server)
    run_in(server, FAIL_FOR_CHOIR % "error('boom')")
    assert await daemon.create("r1", "carol", password_of("carol"), groups=["choir"]) == "unfinished"
    server.prosody.deluser(CAROL)
    assert await daemon.settle("r1", "carol", groups=["choir"]) == "made"
    assert not await has_account(server, "carol")


async def test_no_failure_counts_while_nothing_can_be_stored(make_server):
    server = make_server(run_daemon=False, hosts=WITH_GROUPS, movable_clock=True)
    daemon = await PlayedDaemon.connect(server)
    run_in(server, FAIL_FOR_CHOIR % "if not prosody.mended then error('boom') end")
    run_in(server, """
        local files = require "core.storagemanager".olddm; local store = files.store;
        function files.store(name, host, kind, ...)
            if kind == "easy_invite_grants" and not prosody.mended then return nil, "Error saving to storage" end
            return store(name, host, kind, ...);
        end
    """)
    assert await daemon.create("r1", "carol", password_of("carol"), groups=["choir", "family"]) == "unfinished"
    for number in range(1, 6):
        server.clock.set(7 * number)
        with pytest.raises(StanzaError, match='wait/internal-server-error: Could not add carol to the group "choir"'):
            await daemon.settle("r1", "carol", groups=["choir", "family"])
    run_in(server, "prosody.mended = true")
    assert await daemon.settle("r1", "carol", groups=["choir", "family"]) == "made"
    assert "Members of choir: carol" in server.prosody.log
    assert server.prosody.log.count("Members of family: carol") == 1


async def test_three_failures_at_once_are_not_for_good(make_server):
    server = make_server(run_daemon=False, hosts=WITH_GROUPS)
    daemon = await PlayedDaemon.connect(server)
    run_in(server, FAIL_FOR_CHOIR % "if not prosody.mended then error('boom') end")
    assert await daemon.create("r1", "carol", password_of("carol"), groups=["choir"]) == "unfinished"
    for _ in range(5):
        with pytest.raises(StanzaError, match='wait/internal-server-error: Could not add carol to the group "choir"'):
            await daemon.settle("r1", "carol", groups=["choir"])
    run_in(server, "prosody.mended = true")
    assert await daemon.settle("r1", "carol", groups=["choir"]) == "made"
    assert "Members of choir: carol" in server.prosody.log and await has_account(server, "carol")
