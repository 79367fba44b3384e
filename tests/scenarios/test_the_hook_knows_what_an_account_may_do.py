"""The hook tells the daemon whether an account is disabled, whether it may invite, its roles, whether
it has an admin's rights somewhere, and its rank among those who have."""

import pytest

from harness.gate import GATE, PlayedDaemon, component
from harness.prosody import INVITE_HOST
from harness.xmpp import SASL

ELSEWHERE = 'VirtualHost "elsewhere.example"\n    admins = { "dave@example.org" }'
GUESTS = INVITE_HOST + """    authentication = "anonymous"
    easy_invite_component = "invite.example.org"
"""
CUSTOM_ROLES = 'custom_roles = { { name = "helper"; inherits = { "prosody:member" } } }'


async def known(server, *usernames):
    """The hook's answers to a test that plays the daemon."""
    server.daemon.stop()
    daemon = await PlayedDaemon.connect(server)
    return [await daemon.account(username) for username in usernames]


def roles(answer):
    return [role.text for role in answer]


async def test_admins_are_above_users_and_those_of_more_hosts_above_them(make_server):
    server = make_server(hosts={"example.org": INVITE_HOST + 'admins = { "alice@example.org" }'},
                         last_lines=ELSEWHERE)
    server.prosody.adduser("dave@example.org", "pw")
    answers = await known(server, "admin", "alice", "bob", "dave", "nobody")
    assert [answer.get("rank") for answer in answers] == ["76", "50", "25", "51", None]
    assert [answer.get("privileged") for answer in answers] == ["true", "true", None, "true", None]
    is_13 = server.prosody.version == "13"
    users = ["prosody:registered"] if is_13 else []
    assert [roles(answer) for answer in answers] == [
        ["prosody:operator" if is_13 else "prosody:admin"], ["prosody:admin"], users, users, []]
    assert all(answer.get("disabled") is None and answer.get("may-invite") is None for answer in answers)


async def test_roles_are_listed_with_the_primary_one_first(make_server):
    server = make_server(global_lines=CUSTOM_ROLES)
    if server.prosody.version == "13":
        server.prosody.shell('user:set_role("alice@example.org", "helper")')
        server.prosody.shell('user:addrole("alice@example.org", "prosody:guest")')
        expected = ("35", ["helper", "prosody:guest"])  # as high as the role that it inherits from
    else:
        server.prosody.shell('user:setroles("alice@example.org", { "helper", "a_role" })')
        expected = ("25", ["a_role", "helper"])
    alice, = await known(server, "alice")
    assert (alice.get("rank"), roles(alice)) == expected


@pytest.mark.one_setup  # 0.12 has no disabled accounts
async def test_a_disabled_account_is_known_as_such_until_it_is_enabled(make_server):
    server = make_server()
    server.daemon.stop()
    daemon = await PlayedDaemon.connect(server)
    server.prosody.shell('user:disable("alice@example.org")')
    alice, bob = [await daemon.account(name) for name in ("alice", "bob")]
    assert (alice.get("exists"), alice.get("disabled"), bob.get("disabled")) == ("true", "true", None)
    server.prosody.shell('user:enable("alice@example.org")')
    assert (await daemon.account("alice")).get("disabled") is None


async def test_guests_may_not_invite(make_server):
    server = make_server(hosts={"example.org": INVITE_HOST, "guests.example": GUESTS})
    guest = await server.connect("guests.example")
    guest.send(f"<auth xmlns='{SASL}' mechanism='ANONYMOUS'/>")
    await guest.expect_stanza("success")
    await guest._open_and_read_features()
    username = (await guest.bind()).partition("@")[0]
    server.daemon.stop()
    async with await component(server) as daemon:
        reply = await daemon.ask("get", f"<account xmlns='{GATE}' username='{username}'/>", "guests.example")
        assert (reply[0].get("exists"), reply[0].get("may-invite")) == ("true", "false")
