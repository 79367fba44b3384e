"""The stream's features offer registration with a token, in both of the ways that clients look for,
exactly where it is possible: before login, and under TLS if the server requires that."""

import pytest

from harness.prosody import INVITE_HOST
from harness.stories import generate, has_account, register
from harness.server import password_of
from harness.xmpp import INVITE_FEATURE, REGISTER_FEATURE, TOKEN_FEATURE, Client, StanzaError, StreamClosed

FEATURES = (REGISTER_FEATURE, INVITE_FEATURE, TOKEN_FEATURE)

# Debian's own prosody.cfg.lua forbids registration with this line.
CLOSED = INVITE_HOST.replace("allow_registration = true", "allow_registration = false")


def offered(stream):
    return [stream.has_feature(feature) for feature in FEATURES]


def invites_offered(stream):
    return [stream.has_feature(feature) for feature in (INVITE_FEATURE, TOKEN_FEATURE)]


async def connect_in_the_clear(server):
    return await Client.connect("127.0.0.1", server.prosody.c2s_port, "example.org")


async def test_before_login(server):
    stream = await server.connect()
    assert offered(stream) == [True, True, True]
    await stream.authenticate("alice", password_of("alice"))
    assert invites_offered(stream) == [False, False]


async def test_under_tls_alone_if_it_is_required(make_server):
    server = make_server(tls=True)
    stream = await connect_in_the_clear(server)
    assert offered(stream) == [False, False, False]
    await stream.start_tls()
    assert offered(stream) == [True, True, True]
    await stream.authenticate("alice", password_of("alice"))
    assert invites_offered(stream) == [False, False]


async def test_in_the_clear_everything_is_refused_if_tls_is_required(make_server):
    server = make_server(tls=True)
    invite = generate(server)
    stream = await connect_in_the_clear(server)
    with pytest.raises((StanzaError, StreamClosed), match="policy-violation"):
        await stream.preauth(invite.token)
    stream = await connect_in_the_clear(server)
    with pytest.raises((StanzaError, StreamClosed)):
        await stream.registration_set("carol", password_of("carol"))
    assert not await has_account(server, "carol")
    await register(server, "carol", invite)
    assert await has_account(server, "carol")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_with_allow_registration_false(make_server, tls):
    server = make_server(hosts={"example.org": CLOSED}, tls=tls)
    stream = await server.connect()
    assert offered(stream) == [True, True, True]
    with pytest.raises(StanzaError, match="Registration on this server is through invitation only"):
        await register(server, "mallory")
    await register(server, "carol", generate(server))
    assert await has_account(server, "carol")


async def test_the_registration_form_has_the_fields_that_clients_need(server):
    stream = await server.connect()
    query = await stream.registration_get()
    assert {entry.tag.partition("}")[2] for entry in query} >= {"username", "password"}
