"""Opening a link that a program has broken, or a link from long ago, never counts as guessing.
Presenting a wrong token does, whatever stands around the token."""

import pytest

from harness.stories import Invite, eventually, generate, in_store, register, revoke, show
from harness.web import Visitor, text, web_settings
from harness.xmpp import StanzaError

SOURCE = "127.0.0.2"
MOST = 20  # wrong tokens, if nothing else is configured


def cut(token):
    """A link of which a part is missing."""
    return token[:13]


def glued(token):
    """A link to which a program has added letters."""
    return token + "und"


def with_a_full_stop(token):
    """A link at the end of a sentence."""
    return token + "."


@pytest.mark.parametrize("change", [cut, glued, with_a_full_stop], ids=lambda change: change.__name__)
async def test_a_link_that_was_changed(make_server, change):
    server = make_server(settings=web_settings())
    invite, visitor = generate(server), Visitor(server, SOURCE)
    changed = change(invite.token)
    page = await open_often(server, visitor, changed)
    if change is with_a_full_stop:
        assert page.status == 200
    else:
        assert (page.status, page.heading, text("incomplete_text") in page.text) == (404, text("incomplete"), True)
    assert await door_is_open(server, visitor, generate(server))


async def test_a_link_of_which_only_the_address_is_left(make_server):
    server = make_server(settings=web_settings())
    visitor = Visitor(server, SOURCE)
    for path in ("/join/i", "/join/i/", "/join/i/A/", "/join/i/A/register", "/i/%E2%80%A6"):
        page = await visitor.get(path)
        assert (page.status, page.heading) == (404, text("incomplete")), path


@pytest.mark.parametrize("how", ["purged", "forgotten"])
async def test_a_link_whose_invite_is_no_longer_kept(make_server, how):
    server = make_server(settings=web_settings())
    invite = generate(server, *(["--contact", "alice@example.org"] if how == "forgotten" else []))
    await leave(server, invite, how)
    visitor = Visitor(server, SOURCE)
    page = await open_often(server, visitor, invite.token + ",")
    assert (page.status, page.heading) == (404, text("unknown"))
    assert await door_is_open(server, visitor, generate(server))


@pytest.mark.one_setup
async def test_a_link_of_a_store_that_was_moved_or_restored(make_server):
    server = make_server(settings=web_settings())
    invite = generate(server)
    await leave(server, invite, "purged")
    server.daemon.stop()
    moved = server.daemon.cli("migrate-store", server.daemon.config["store"]["url"], "sqlite:elsewhere.db")
    assert moved.returncode == 0, moved.stderr
    saved = server.daemon.cli("backup", "saved.db")
    assert saved.returncode == 0, saved.stderr
    server.daemon.config["store"]["url"] = "sqlite:restored.db"
    restored = server.daemon.cli("restore", "saved.db")
    assert restored.returncode == 0, restored.stderr
    after_the_backup = "MadeAfterTheBackup123456"
    for url, lost in (("sqlite:elsewhere.db", []), ("sqlite:restored.db", [after_the_backup])):
        server.daemon.config["store"]["url"] = url
        server.daemon.start()
        visitor = Visitor(server, SOURCE)
        for token in (invite.token, *lost):
            page = await open_often(server, visitor, token)
            assert (page.status, page.heading) == (404, text("unknown"))
        assert ("this store stands in for another" in server.daemon.log) == bool(lost)
        assert await door_is_open(server, visitor, generate(server), name=url.partition(":")[2][0])
        server.daemon.stop()


@pytest.mark.parametrize("around", ["{}", "{}.", "https://invite.example.org/i/{}?fbclid=x"])
async def test_but_a_wrong_token_is_one(make_server, around):
    server = make_server(settings=web_settings())
    invite, visitor = generate(server), Visitor(server, SOURCE)
    for number in range(MOST // 2):
        wrong = around.format("A" * 22 + f"{number:02}")
        assert (await visitor.get(visitor.path(wrong))).status == 404
        await present(server, wrong)
    assert (await visitor.get(visitor.path(invite))).status == 429
    assert not await door_is_open(server, visitor, invite)


async def open_often(server, visitor, token):
    """Opens a link and presents its token more often than
    one may guess. Returns the page."""
    for _ in range(MOST):
        page = await visitor.get(visitor.path(token))
        await visitor.head(visitor.path(token, "register"))
        await present(server, token)
    return page


async def present(server, token):
    """Presents a token in a chat client, whatever comes of it."""
    async with await server.connect(source=SOURCE) as stream:
        try:
            await stream.preauth(token)
        except StanzaError as refused:
            assert "item-not-found" in str(refused) or "policy-violation" in str(refused)


async def leave(server, invite, how):
    """Has the store forget an invite."""
    id = show(server, invite)["id"]
    if how == "forgotten":
        assert server.daemon.cli("forget", "alice@example.org", "--yes").returncode == 0
    else:
        revoke(server, invite)
        in_store(server, "UPDATE invite SET revoked_at = 1 WHERE id = ?", id)
        server.daemon.stop()
        server.daemon.start()  # which purges
    await eventually(lambda: in_store(server, "SELECT count(*) FROM invite WHERE id = ?", id) == [(0,)], "it is gone")


async def door_is_open(server, visitor, invite: Invite, name="x"):
    """Whether somebody from this address sees an invite's page and registers with it."""
    if (await visitor.get(visitor.path(invite))).status != 200:
        return False
    await register(server, f"welcome-{name}", invite, source=visitor.source)
    return True
