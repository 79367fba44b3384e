"""A disabled account, or one that waits for its deletion, gets no new password by a link: no such
link can be made, and none that exists works. The account stays as it is."""

import pytest

from harness.stories import generate, has_account, register, reset_link, show
from harness.web import Visitor, web_settings
from harness.xmpp import REGISTER, StanzaError

pytestmark = pytest.mark.one_setup  # 0.12 has no disabled accounts

DISABLED = "The account bob@example.org is disabled"
GRACE = 'registration_delete_grace_period = "7d"'


def record_of_bob(server):
    """What Prosody's provider has stored."""
    return (server.prosody.data_folder / "example%2eorg/accounts/bob.dat").read_text()


async def by_an_admin(server):
    server.prosody.shell('user:disable("bob@example.org")')


async def by_the_user_who_wants_it_deleted(server):
    user = await server.login("bob")
    user.send(f"<iq type='set' id='remove'><query xmlns='{REGISTER}'><remove/></query></iq>")
    await user.expect_end()


WAYS = pytest.mark.parametrize("disable", [by_an_admin, by_the_user_who_wants_it_deleted], ids=lambda way: way.__name__)


@WAYS
async def test_no_link_can_be_made(make_server, disable):
    server = make_server(global_lines=GRACE)
    admin = await server.login("admin")
    await disable(server)
    for address in ("example.org", "invite.example.org"):
        with pytest.raises(AssertionError, match=DISABLED):
            await reset_link(admin, "bob", address)
    by_cli = server.daemon.cli("generate", "example.org", "--reset", "bob")
    assert (by_cli.returncode, DISABLED in by_cli.stderr) == (1, True)
    code, _, errors = server.prosody.prosodyctl("mod_easy_invite", "generate", "example.org", "--reset", "bob")
    assert (code, DISABLED in errors) == (1, True)
    server.prosody.shell('user:enable("bob@example.org")')
    await reset_link(admin, "bob")


@WAYS
async def test_no_link_that_exists_works_until_the_account_is_enabled(make_server, disable):
    server = make_server(global_lines=GRACE, settings=web_settings())
    links = [await reset_link(await server.login("admin"), "bob"), generate(server, "--reset", "bob")]
    visitor = Visitor(server)
    form = await visitor.filled_in(links[0], None, "kites and lamps", page="reset")
    presented = await server.connect()
    await presented.preauth(links[1].token)
    await disable(server)
    before = record_of_bob(server)
    for link in links:
        with pytest.raises(StanzaError, match=f"cancel/item-not-found: {DISABLED}"):
            await register(server, "bob", link, password="a new one")
        page = await visitor.get(visitor.path(link))
        assert (page.status, DISABLED in page.text) == (422, True)
    with pytest.raises(StanzaError, match=f"modify/not-acceptable: {DISABLED}"):
        await presented.registration_set("bob", "a new one")
    refused = await visitor.post(visitor.path(links[0], "reset"), form)
    assert (refused.status, DISABLED in refused.text) == (422, True)
    assert record_of_bob(server) == before
    assert not await has_account(server, "bob")
    server.prosody.shell('user:enable("bob@example.org")')
    assert await has_account(server, "bob"), "the password is the old one"
    assert [show(server, link)["state"] for link in links] == ["pending"] * 2
    assert (await visitor.post(visitor.path(links[0], "reset"), form)).status == 200
    assert await has_account(server, "bob", password="kites and lamps")
