"""Prosody is killed before its first write to disk while somebody registers where registration is
open, then, with another name, before its second, and so on. Afterwards either the account works, or
nothing is left of it and the name is free. What an admin disables stays as it is."""

import asyncio
import itertools

import pytest

from harness.gate import PlayedDaemon
from harness.prosody import INVITE_HOST
from harness.stories import accounts_on_disk, eventually, generate, has_account, leave_open, register, registers, show
from harness.xmpp import AuthenticationError, StanzaError

FEWEST_WRITES = 2  # the account and its details
OPEN = {"hosts": {"example.org": {"registration_invite_only": False}}}


async def test_at_every_write(make_server):
    server = make_server(settings=OPEN, run_daemon=False)
    for write in itertools.count(1):
        restart(server, INVITE_HOST.replace("{ ", '{ "crash_at_a_write", ') + f"crash_at_write = {write}")
        username, before = f"guest-{write}", accounts_on_disk(server)
        if await registers(server, username, None):
            break
        restart(server, INVITE_HOST)

        async def works_or_is_gone():
            return await has_account(server, username) or accounts_on_disk(server) == before

        await eventually(works_or_is_gone, f"after a crash at write {write} the account works or is gone")
        assert await has_account(server, username) or await registers(server, username, None), f"write {write}"
    assert write > FEWEST_WRITES


def restart(server, host_lines):
    """Restarts both, whether they are running or dead."""
    server.daemon.kill()
    server.prosody.kill()
    server.prosody.hosts["example.org"] = host_lines
    server.prosody.start()
    server.daemon.start()


@pytest.mark.one_setup
async def test_an_account_that_an_admin_disables_while_its_use_is_open_stays_disabled(make_server):
    server = make_server(settings=OPEN)
    await register(server, "carol")
    server.prosody.shell('user:disable("carol@example.org")')
    invite = generate(server)
    leave_open(server, invite, "carol@example.org")
    await eventually(lambda: show(server, invite)["uses"] == 1, "the open use is settled")
    with pytest.raises(AuthenticationError, match="account-disabled"):
        await server.login("carol")


@pytest.mark.one_setup
@pytest.mark.parametrize("crashed", [False, True], ids=["", "after-a-crash"])
async def test_an_account_without_a_password_that_an_admin_has_made_stays(make_server, crashed):
    server = make_server()
    invite = generate(server)
    if crashed:
        server.prosody.kill()
        server.prosody.start()
        await asyncio.to_thread(server.daemon.wait_until_logged_in, times=2)
    server.prosody.shell('> require "core.usermanager".create_user("dave", nil, "example.org")')
    account = accounts_on_disk(server)["accounts/dave.dat"]
    leave_open(server, invite, "dave@example.org")
    await eventually(lambda: show(server, invite)["uses"] == 1, "the open use is settled")
    assert accounts_on_disk(server)["accounts/dave.dat"] == account


@pytest.mark.parametrize("content", ["", "\n", "return nil;\n"], ids=["empty", "blank", "nil"])
async def test_an_account_whose_file_is_empty_is_not_gone(make_server, content):
    """A crash of the machine can leave such a file."""
    server = make_server(run_daemon=False)
    daemon, account = await PlayedDaemon.connect(server), account_file(server, "alice")
    before = account.read_text()
    account.write_text(content)
    for ask in (lambda: daemon.account("alice"), lambda: daemon.settle("r1", "alice"),
                lambda: daemon.create("r2", "alice", "another's password")):
        with pytest.raises(StanzaError, match="wait/internal-server-error"):
            await ask()
    account.write_text(before)
    assert await daemon.account_exists("alice")
    assert await has_account(server, "alice")


async def test_an_empty_file_of_a_registration_leaves_the_name_free(make_server):
    server = make_server(settings=OPEN)
    server.prosody.kill()
    account_file(server, "carol").write_text("")
    note_begun(server, '{ carol = "begun" }')
    server.prosody.start()
    await eventually(lambda: registers(server, "carol", None), "the name is free")
    assert await has_account(server, "carol")


@pytest.mark.parametrize("way", ["repaired", "removed"])
async def test_a_list_of_begun_accounts_that_cannot_be_read_is_not_overwritten(make_server, way):
    server = make_server(settings=OPEN)
    server.prosody.kill()
    account_file(server, "dave").write_text('return { ["disabled"] = true };\n')
    note_begun(server, '{ dave = "begun"')
    before = begun_file(server).read_text()
    server.prosody.start()
    await asyncio.to_thread(server.daemon.wait_until_logged_in, times=2)
    assert f"error\tNobody can register while {begun_file(server)} cannot be read" in server.prosody.log
    for username in ("carol", "dave"):
        assert not await registers(server, username, None)
    assert await has_account(server, "alice") and not account_file(server, "carol").exists()
    assert begun_file(server).read_text() == before
    if way == "removed":
        begun_file(server).unlink()
    else:
        note_begun(server, '{ dave = "begun" }')
    server.prosody.shell("module:reload('easy_invite', 'example.org')")
    await eventually(lambda: registers(server, "carol", None), "registration is open again")
    if way == "repaired":
        await eventually(lambda: registers(server, "dave", None), "the rest is gone")


def account_file(server, username):
    return server.prosody.data_folder / "example%2eorg" / "accounts" / f"{username}.dat"


def note_begun(server, accounts):
    begun_file(server).write_text(f"return {accounts};\n")


def begun_file(server):
    return server.prosody.data_folder / "example%2eorg" / "easy_invite_begun.dat"
