"""Prosody's options and permissions for inviting hold here, too: a user who may not invite new
users makes contact invites, and one who may not invite at all makes none. They are checked again
when an invite is used. `check` names the options that have no effect."""

import json

import pytest

from harness.prosody import INVITE_HOST
from harness.stories import NEW_INVITE, generate, has_account, new_invite, register, show
from harness.web import Visitor, web_settings
from harness.xmpp import SASL, StanzaError

ADDRESSES = ["example.org", "invite.example.org"]
GUESTS = '    easy_invite_component = "invite.example.org"\n'
ROLE = {"0.12": "limited", "13": "prosody:guest"}  # one that may not invite new users, under DENIED
DENIED = 'deny_user_invites_by_roles = { "limited" }'
PERMISSION = "invites_adhoc:invite-users"

# Lines of Prosody's configuration, alice's role, and whether she and bob, who has none, may invite
# new users.
RULES = {
    "0.12": [
        ("", "limited", True, True),
        (DENIED, "limited", False, True),
        ('deny_user_invites_by_roles = "limited"', "limited", False, True),
        ('allow_user_invites_by_roles = { "helper" }', "helper", True, False),
        ('allow_user_invites_by_roles = { "helper" }', "limited", False, False),
        ('allow_user_invites = false; allow_user_invites_by_roles = { "helper" }', "helper", True, False),
        ('allow_user_invites = true; allow_user_invites_by_roles = { "helper" }', "limited", True, True),
        ('allow_user_invites_by_roles = { "helper" }; deny_user_invites_by_roles = { "helper" }',
         "helper", True, False),
        ("allow_user_invites = false", "limited", False, False),
    ],
    "13": [
        ("", "prosody:guest", False, True),
        ("", "prosody:member", True, True),
        ("allow_user_invites = false", "prosody:member", False, False),
        ('custom_roles = { { name = "limited"; inherits = { "prosody:guest" } } }', "limited", False, True),
        ('custom_roles = { { name = "helper"; inherits = { "prosody:member" } } }', "helper", True, True),
        (f'custom_roles = {{ {{ name = "deaf"; inherits = {{ "prosody:member" }}; deny = {{ "{PERMISSION}" }} }} }}',
         "deaf", False, True),
        (f'add_permissions = {{ ["prosody:guest"] = {{ "{PERMISSION}" }} }}', "prosody:guest", True, True),
        (f'allow_user_invites = false; add_permissions = {{ ["prosody:member"] = {{ "{PERMISSION}" }} }}',
         "prosody:member", True, False),
        (f'remove_permissions = {{ ["prosody:registered"] = {{ "{PERMISSION}" }} }}', "prosody:guest", False, False),
    ],
}


def give_role(server, username, role):
    """An admin changes a user's role in Prosody's shell."""
    command = "set_role" if server.prosody.version == "13" else "setroles"
    server.prosody.shell(f'user:{command}("{username}@example.org", "{role}")')


async def registers_users(user, to=None):
    """Whether New Invite makes an invite that registers, by its link."""
    return (await new_invite(user, to)).uri.endswith(";ibr=y")


@pytest.mark.seconds(120)
async def test_users_who_may_invite_no_new_users_make_contact_invites(make_server):
    server = make_server()
    for lines, role, alices, bobs in RULES[server.prosody.version]:
        server.prosody.hosts["example.org"] = f"{INVITE_HOST}\n{lines}\n"
        server.prosody.stop()
        server.prosody.start()
        server.daemon.restart()
        give_role(server, "alice", role)
        async with await server.login("alice") as alice, await server.login("bob") as bob, \
                await server.login("admin") as admin:
            for address in ADDRESSES:
                said = [await registers_users(user, address) for user in (alice, bob, admin)]
                assert said == [alices, bobs, True], (lines, role, address)


@pytest.fixture
def strict(make_server):
    return make_server(hosts={"example.org": INVITE_HOST + DENIED}, settings=web_settings())


async def test_an_invite_is_good_for_a_contact_alone_once_its_maker_may_invite_no_new_users(strict):
    alice, visitor = await strict.login("alice"), Visitor(strict)
    link, presented, page = [await new_invite(alice) for _ in range(3)]
    stream = await strict.connect()
    await stream.preauth(presented.token)
    form = await visitor.filled_in(page, "carol")

    give_role(strict, "alice", ROLE[strict.prosody.version])
    with pytest.raises(StanzaError, match="cancel/item-not-found: This invitation is for adding a contact"):
        await register(strict, "carol", link)
    with pytest.raises(StanzaError, match="modify/not-acceptable: This invitation is for adding a contact"):
        await stream.registration_set("carol", "carol's password")
    await visitor.post(visitor.path(page, "register"), form)
    shown = await visitor.get(visitor.path(page))
    assert shown.status == 200 and "ibr=y" not in shown.body and "/register" not in shown.body
    assert not await has_account(strict, "carol")
    assert [show(strict, invite)["uses"] for invite in (link, presented, page)] == [0, 0, 0]
    alice = await strict.login("alice")
    bob = await strict.login("bob")
    bob.subscribe("alice@example.org", link.token)
    await alice.roster_push("bob@example.org", "both")

    give_role(strict, "alice", "prosody:registered")
    await register(strict, "carol", presented)


async def test_of_an_admin_nothing_differs(strict):
    invite = await new_invite(await strict.login("admin"))
    give_role(strict, "admin", ROLE[strict.prosody.version])
    assert await registers_users(await strict.login("admin"))
    await register(strict, "carol", invite)


@pytest.mark.parametrize("to", ADDRESSES)
async def test_without_allow_contact_invites_only_admins_invite(make_server, to):
    server = make_server(hosts={"example.org": INVITE_HOST + "allow_contact_invites = false"})
    alice, admin = await server.login("alice"), await server.login("admin")
    assert NEW_INVITE not in await alice.commands(to)
    with pytest.raises(StanzaError, match="auth/forbidden"):
        await new_invite(alice, to)
    assert NEW_INVITE in await admin.commands(to)
    assert await registers_users(admin, to)


@pytest.mark.parametrize("authentication", ['authentication = "anonymous"', "anonymous_login = true"])
async def test_guests_of_a_host_without_accounts_do_not_invite(make_server, authentication):
    server = make_server(hosts={"example.org": INVITE_HOST, "guests.example": f"{INVITE_HOST}{GUESTS}{authentication}"},
                         settings={"hosts": {"guests.example": {"inviter_age": "0s"}}})
    guest = await server.connect("guests.example")
    guest.send(f"<auth xmlns='{SASL}' mechanism='ANONYMOUS'/>")
    await guest.expect_stanza("success")
    await guest._open_and_read_features()
    await guest.bind()
    for address in ("guests.example", "invite.example.org"):
        assert NEW_INVITE not in await guest.commands(address)
        with pytest.raises(StanzaError, match="auth/forbidden"):
            await guest.disco_info(address, NEW_INVITE)
        with pytest.raises(StanzaError, match="auth/forbidden"):
            await new_invite(guest, address)
    assert server.daemon.cli("--json", "list", "--state", "all").stdout == ""
    assert await registers_users(await server.login("alice"))


async def test_the_tables_of_the_daemons_configuration_are_for_roles(make_server):
    roles = {"a_role": {"allow_user_invites": False, "allow_contact_invites": False},
             "prosody:member": {"allow_user_invites": False}, "helper": {"allow_user_invites": True}}
    server = make_server(settings={"hosts": {"example.org": {"roles": roles}}}, global_lines=(
        'custom_roles = { { name = "a_role"; inherits = { "prosody:registered" } };'
        ' { name = "helper"; inherits = { "prosody:registered" } } }'))
    alice, bob = await server.login("alice"), await server.login("bob")
    before = await new_invite(alice)
    give_role(server, "alice", "a_role")
    give_role(server, "bob", "prosody:member")
    alice, bob = await server.login("alice"), await server.login("bob")
    assert NEW_INVITE not in await alice.commands("example.org")
    with pytest.raises(StanzaError, match="auth/forbidden"):
        await new_invite(alice)
    with pytest.raises(StanzaError, match="cancel/item-not-found"):
        await register(server, "carol", before)
    assert not await registers_users(bob)
    if server.prosody.version == "13":  # of several roles, the most generous counts
        server.prosody.shell('user:addrole("bob@example.org", "helper")')
    else:
        server.prosody.shell('user:setroles("bob@example.org", { "prosody:member", "helper" })')
    assert await registers_users(await server.login("bob"))


@pytest.mark.one_setup
async def test_a_role_may_more_than_the_host_allows(make_server):
    host = {"allow_user_invites": False, "roles": {"prosody:member": {"allow_user_invites": True}}}
    server = make_server(settings={"hosts": {"example.org": host}})
    give_role(server, "alice", "prosody:member")
    assert await registers_users(await server.login("alice"))
    assert not await registers_users(await server.login("bob"))
    await register(server, "carol", await new_invite(await server.login("alice")))


async def test_check_names_the_options_without_effect(make_server):
    server = make_server()
    assert unused(server) == []
    lines = 'registration_invite_only = true; invite_expiry = 3600; allow_user_invites_by_roles = { "helper" }'
    server.prosody.hosts["example.org"] = f"{INVITE_HOST}\n{lines}\n"
    server.prosody.stop()
    server.prosody.start()
    server.daemon.restart()
    named = "invite_expiry, registration_invite_only"
    if server.prosody.version == "13":  # which has permissions instead
        named += ", allow_user_invites_by_roles"
    assert [f"Prosody's options {named} have no effect" in detail for detail in unused(server)] == [True]
    await register(server, "carol", generate(server))


def unused(server):
    """What `check` warns of about the hook."""
    done = server.daemon.cli("--json", "check")
    assert done.returncode == 0, done.stdout
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [line["detail"] for line in lines if line["part"] == "hook" and line["warning"]]
