"""Nobody resets the password of an account with more rights than their own, which would give them
those rights. The chat server says which account has more. It is asked when the link is made, and
again when it is used."""

import pytest

from harness.prosody import INVITE_HOST
from harness.stories import generate, has_account, register, reset_link, show
from harness.web import Visitor, web_settings
from harness.xmpp import StanzaError

STOPPED = "The person who created this invitation is not allowed to create such invitations at present"
CUSTOM_ROLES = """custom_roles = {
    { name = "helper"; priority = 60; inherits = { "prosody:registered" } };
    { name = "deputy"; priority = 10; inherits = { "prosody:admin" } };
    { name = "chief"; priority = 60; inherits = { "prosody:admin" } };
}"""
ELSEWHERE = 'VirtualHost "elsewhere.example"\n    admins = { "bob@example.org" }'


def settings(*admins):
    """The daemon's, with these admins of its own."""
    own = web_settings()
    own["hosts"]["example.org"]["admins"] = [f"{username}@example.org" for username in admins]
    return own


def give_role(server, username, role):
    """The one role of an account from now on."""
    if server.prosody.version == "13":
        server.prosody.shell(f'user:set_role("{username}@example.org", "{role}")')
    else:
        server.prosody.shell(f'user:setroles("{username}@example.org", {{ "{role}" }})')


async def assert_refused(server, asker, username):
    user = await server.login(asker)
    for address in ("example.org", "invite.example.org"):
        with pytest.raises(AssertionError, match=f"{username}@example.org has more rights here than you"):
            await reset_link(user, username, address)
    await user.close()


async def assert_of_no_use(server, link, username):
    with pytest.raises(StanzaError, match=f"cancel/item-not-found: {STOPPED}"):
        await register(server, username, link, password="a new one")
    page = await Visitor(server).get(Visitor(server).path(link))
    assert (page.status, STOPPED in page.text) == (422, True)
    assert show(server, link)["state"] == "pending"


async def test_an_admin_of_the_daemon_alone_does_not_reset_an_admin_of_prosody(make_server):
    server = make_server(settings=settings("alice"))
    await assert_refused(server, "alice", "admin")
    give_role(server, "bob", "prosody:admin")
    await assert_refused(server, "alice", "bob")
    give_role(server, "bob", "prosody:registered")
    link = await reset_link(await server.login("alice"), "bob")
    await register(server, "bob", link, password="a new one")
    assert await has_account(server, "bob", password="a new one")


async def test_an_admin_of_the_host_does_not_reset_one_of_the_whole_server(make_server):
    server = make_server(hosts={"example.org": INVITE_HOST + 'admins = { "alice@example.org" }'})
    await assert_refused(server, "alice", "admin")
    await reset_link(await server.login("admin"), "alice")


async def test_nor_one_who_is_an_admin_of_another_host(make_server):
    server = make_server(hosts={"example.org": INVITE_HOST + 'admins = { "alice@example.org" }'},
                         last_lines=ELSEWHERE)
    await assert_refused(server, "alice", "bob")
    await reset_link(await server.login("admin"), "bob")


@pytest.mark.one_setup  # 0.12 has neither priorities nor secondary roles
async def test_priorities_of_roles_count_among_admins(make_server):
    server = make_server(hosts={"example.org": INVITE_HOST + CUSTOM_ROLES})
    for username, role in (("alice", "prosody:admin"), ("bob", "chief")):
        give_role(server, username, role)
    await assert_refused(server, "alice", "bob")
    await reset_link(await server.login("bob"), "alice")
    give_role(server, "bob", "deputy")
    await reset_link(await server.login("alice"), "bob")
    await assert_refused(server, "bob", "alice")


@pytest.mark.one_setup
async def test_whoever_has_an_admins_rights_is_above_an_admin_of_the_daemon_alone(make_server):
    server = make_server(settings=settings("alice"), global_lines=CUSTOM_ROLES)
    for role in ("deputy", "chief"):
        give_role(server, "bob", role)
        await assert_refused(server, "alice", "bob")
    give_role(server, "bob", "prosody:registered")
    server.prosody.shell('user:addrole("bob@example.org", "deputy")')  # which bob may take on
    await assert_refused(server, "alice", "bob")


@pytest.mark.one_setup
async def test_an_ordinary_account_is_above_nobody(make_server):
    """`prosodyctl adduser` of Prosody 13 makes members."""
    server = make_server(settings=settings("alice"), global_lines=CUSTOM_ROLES)
    for role in ("prosody:member", "helper"):
        give_role(server, "bob", role)
        link = await reset_link(await server.login("alice"), "bob")
        await register(server, "bob", link, password=f"the {role}'s own")
        assert await has_account(server, "bob", password=f"the {role}'s own")


async def test_a_link_does_not_work_once_its_account_has_risen(make_server):
    server = make_server(settings=settings("alice"))
    link, visitor = await reset_link(await server.login("alice"), "bob"), Visitor(server)
    form = await visitor.filled_in(link, None, "kites and lamps", page="reset")
    presented = await server.connect()
    await presented.preauth(link.token)
    give_role(server, "bob", "prosody:admin")
    await assert_of_no_use(server, link, "bob")
    with pytest.raises(StanzaError, match=f"modify/not-acceptable: {STOPPED}"):
        await presented.registration_set("bob", "a new one")
    assert (await visitor.post(visitor.path(link, "reset"), form)).status == 422
    assert await has_account(server, "bob"), "the password is the old one"
    give_role(server, "bob", "prosody:registered")
    assert (await visitor.post(visitor.path(link, "reset"), form)).status == 200


async def test_a_link_does_not_work_once_its_maker_has_fallen(make_server):
    server = make_server(settings=settings("alice"))
    for username in ("alice", "bob"):
        give_role(server, username, "prosody:admin")
    link = await reset_link(await server.login("alice"), "bob")
    give_role(server, "alice", "prosody:registered")  # and still an admin for the daemon
    await assert_of_no_use(server, link, "bob")


async def test_roles_that_cannot_be_read_may_be_an_admins(make_server):
    server = make_server(settings=settings("alice"))
    link, visitor = await reset_link(await server.login("alice"), "bob"), Visitor(server)
    form = await visitor.filled_in(link, None, "kites and lamps", page="reset")
    give_role(server, "bob", "prosody:admin")
    roles, = server.prosody.data_folder.glob("*/*roles/bob.dat")
    its = roles.read_text()
    roles.write_text(its.replace("}", ""))
    with pytest.raises(StanzaError, match="^wait/"):
        await register(server, "bob", link, password="a new one")
    assert (await visitor.post(visitor.path(link, "reset"), form)).status == 503
    with pytest.raises(AssertionError, match="cannot do this right now"):
        await reset_link(await server.login("alice"), "bob")
    roles.write_text(its)
    await assert_of_no_use(server, link, "bob")
    assert await has_account(server, "bob"), "the password is the old one"


async def test_the_operator_resets_everybody(make_server):
    server = make_server()
    await register(server, "admin", generate(server, "--reset", "admin"), password="a new one")
    assert await has_account(server, "admin", password="a new one")
