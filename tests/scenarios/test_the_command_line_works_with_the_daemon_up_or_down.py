"""The operator makes, lists, shows and revokes invites while the daemon runs, with effect at once,
and while it is down, with the same results."""

import json

import pytest

from harness.stories import generate, register, show, used
from harness.xmpp import StanzaError


@pytest.fixture(params=["up", "down"])
def server(request, make_server):
    made = make_server()
    if request.param == "down":
        made.daemon.stop()
    return made


async def test_an_invites_life(server):
    invite, other = generate(server, "--note", "for Carol"), generate(server)
    assert {line["note"] for line in listed(server)} == {"for Carol", None}
    assert show(server, invite)["state"] == "pending"
    assert "token" not in show(server, invite)
    revoked = server.daemon.cli("revoke", other.uri)
    assert revoked.returncode == 0 and "revoked" in revoked.stdout
    assert [line["note"] for line in listed(server)] == ["for Carol"]
    assert [line["id"] for line in listed(server, "--state", "revoked")] == [show(server, other)["id"]]

    if server.daemon.pid is None:
        server.daemon.start()
    with pytest.raises(StanzaError, match="cancel/item-not-found: This invitation has been revoked"):
        await register(server, "mallory", other)
    await register(server, "carol", invite)
    await used(server, invite)
    assert show(server, invite)["state"] == "redeemed"


def listed(server, *options):
    """What `list` prints: pending invites, unless the options choose others."""
    options = options or ("--state", "pending")
    done = server.daemon.cli("--json", "list", "example.org", *options)
    assert done.returncode == 0
    return [json.loads(line) for line in done.stdout.splitlines()]
