"""Each Prosody has its own id, which tells the daemons which server made a reservation. The id
survives restarts and crashes. Machines have different ids, even if they share their accounts. Only
the server that made a reservation settles it."""

import asyncio
import re

import pytest

from harness.gate import GATE, PlayedDaemon, component
from harness.prosody import INVITE_HOST, lua
from harness.xmpp import StanzaError, child, children

CLIENT = "127.0.0.2"
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture
def server(make_server):
    return make_server(run_daemon=False)


async def test_the_id_outlives_the_process(server):
    id = await id_of(server)
    assert re.fullmatch(UUID, id)
    server.prosody.kill()
    server.prosody.start()
    assert await id_of(server) == id
    server.prosody.restart()
    assert await id_of(server) == id
    server.prosody.shell("module:reload('easy_invite', 'example.org')")
    assert await id_of(server) == id


async def test_servers_that_share_their_accounts_have_different_ids(make_server, tmp_path):
    shared = f"{INVITE_HOST}    sql = {{ driver = 'SQLite3'; database = {lua(tmp_path / 'shared.sqlite')} }}"
    one = make_server(run_daemon=False, storage="sql", hosts={"example.org": shared})
    one.prosody.stop()  # prosodyctl would fail: Prosody does not wait for another's lock on the file
    one.prosody.adduser("carol@example.org", "carol's password")
    other = make_server(run_daemon=False, storage="sql", hosts={"example.org": shared})
    one.prosody.start()
    await other.login("carol")  # they do share them
    assert await id_of(one) != await id_of(other)


async def test_an_id_that_cannot_be_written_is_reported(server):
    (server.prosody.data_folder / "example%2eorg" / "easy_invite_server.dat").unlink()
    (server.prosody.data_folder / "example%2eorg" / "easy_invite_server.dat~").mkdir()
    server.prosody.restart()
    assert "error\tThe id of this server cannot be kept in" in server.prosody.log
    id = await id_of(server)
    assert re.fullmatch(UUID, id)
    server.prosody.restart()
    assert await id_of(server) != id


async def test_an_id_that_cannot_be_read_is_not_overwritten(server):
    id = await id_of(server)
    kept = server.prosody.data_folder / "example%2eorg" / "easy_invite_server.dat"
    content = kept.read_text()
    kept.write_text(content[:-10])
    server.prosody.restart()
    assert "error\tThe id of this server cannot be kept in" in server.prosody.log
    assert await id_of(server) != id
    kept.write_text(content)
    server.prosody.restart()
    assert await id_of(server) == id


async def test_the_hooks_requests_carry_it(server):
    id = await id_of(server)
    async with await component(server) as daemon:
        stream, bob = await server.connect(source=CLIENT), await server.login("bob")
        assert (await asked(daemon, "check", lambda: stream.preauth("A" * 24))).get("address") == CLIENT
        registration = await asked(daemon, "reserve", lambda: stream.registration_set("carol", "carol's password"))
        assert (registration.get("server"), registration.get("address")) == (id, CLIENT)
        bob.subscribe("alice@example.org", "A" * 24)
        request = await daemon.expect(lambda stanza: children(stanza, "contact"), what="the hook's question")
        assert (child(request, "contact").get("server"), child(request, "contact").get("address")) == (id, None)


@pytest.mark.parametrize("other", ["another", ""], ids=["another", "none"])
async def test_another_servers_reservation_is_not_settled(server, other):
    daemon, alice = await PlayedDaemon.connect(server), await server.login("alice")
    assert await daemon.settle("one", "bob", server=other, contact="alice@example.org") == "elsewhere"
    assert await alice.roster() == {}
    assert await daemon.settle("one", "bob", contact="alice@example.org") == "made"
    await alice.roster_push("bob@example.org", "both")


async def asked(daemon, name, act):
    """What the hook asks during `act`. The daemon refuses it."""
    acting = asyncio.create_task(act())
    question = await daemon.expect(lambda stanza: children(stanza, name), what="the hook's question")
    daemon.reply_error(question, "cancel", "item-not-found")
    with pytest.raises(StanzaError):
        await acting
    return child(question, name)


async def id_of(server):
    """The id that the server's hook answers with."""
    async with await component(server) as daemon:
        return child(await daemon.ask("get", f"<hello xmlns='{GATE}'/>", "example.org"), "hello").get("server")
