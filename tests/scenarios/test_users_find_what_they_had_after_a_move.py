"""The day after a move is as "Moving over" in the README says. Links that were used between the
imports are over, and no others. Apps find their commands at the same nodes, under the names in the
README. Old links show the new page, new links look like the old ones, and users see in My Invites
the invites that they made before."""

import re
from urllib.parse import urlsplit

import pytest

from harness.daemon import REPOSITORY
from harness.moving import old_server, switch
from harness.stories import (
    CREATE_ACCOUNT, MY_INVITES, NEW_INVITE, PASSWORD_RESET, Invite, new_account_invite, new_invite, register,
    show)
from harness.web import Visitor, web_settings
from harness.xmpp import StanzaError, form_fields, form_in, form_values

README = " ".join((REPOSITORY / "README.md").read_text().partition("## Moving over")[2].partition("\n## ")[0].split())


@pytest.mark.parametrize("version", ["0.12", "13"])
async def test_on_a_real_server(version, tmp_path):
    nodes = [NEW_INVITE, CREATE_ACCOUNT] + [PASSWORD_RESET] * (version == "13")
    with old_server(version, tmp_path, settings=web_settings(path="", also=["/invites_page"])) as server:
        alice, admin = await server.login("alice"), await server.login("admin")
        before = {node: (await admin.commands("example.org"))[node].name for node in nodes}
        old = {NEW_INVITE: await made(alice, NEW_INVITE), CREATE_ACCOUNT: await made(admin, CREATE_ACCOUNT)}
        used = await new_invite(alice)
        server.daemon.write_config()
        assert figures(imported(server)) == figures(re.search("(imported 212 .*?) ```", README)[1])
        late = await new_invite(alice)
        await register(server, "carol", used)
        server.prosody.stop()
        assert "has ended" in imported(server)

        switch(server)
        await register(server, "dora", late)
        with pytest.raises(StanzaError, match="item-not-found"):
            await register(server, "erin", used)
        alice, admin = await server.login("alice"), await server.login("admin")
        assert NEW_INVITE in await alice.commands("example.org")
        for node in nodes:
            after = (await admin.commands("example.org"))[node].name
            assert f'"{before[node]}"' in README and f"**{after}**" in README, "README has both names"
        new = {NEW_INVITE: await new_invite(alice), CREATE_ACCOUNT: await new_account_invite(admin, {})}
        visitor = Visitor(server)
        for node, (invite, link) in old.items():
            assert shape(invite) == shape(new[node]), "apps are given the same kind of address"
            address = urlsplit(link)
            page = await visitor.get(f"{address.path}?{address.query}", {"Host": address.netloc})
            assert (page.status, page.header("Link")) == (200, f'<{invite.uri}>; rel="alternate"'), link
        mine = form_fields(form_in(await alice.execute("example.org", MY_INVITES)))["invite"]
        assert {value.text for value in mine.iter("{jabber:x:data}value")} >= {
            show(server, invite)["id"] for invite in (old[NEW_INVITE][0], new[NEW_INVITE])}


def imported(server):
    """The last line of an import."""
    taken = server.daemon.cli("import", "prosody", "--data", str(server.prosody.data_folder))
    assert taken.returncode == 0, taken.stderr
    return taken.stdout.strip()


async def made(user, node):
    """The invite that a command makes at once, and its link."""
    values = form_values(form_in(await user.execute("example.org", node)))
    return Invite(values["uri"]), values.get("landing-url")


def shape(invite):
    """An address without its token."""
    return re.sub("preauth=[^;]*", "preauth=", invite.uri)


def figures(line):
    """A line of `easy-invite import` without its numbers."""
    return re.sub(r"[\d,]*\d", "N", line)
