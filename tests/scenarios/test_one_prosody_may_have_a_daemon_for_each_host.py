"""Two VirtualHosts of one Prosody, each with its own component and daemon. Each daemon lets people
in on its own host alone, even while the other is away. With PostgreSQL they share a store, with
SQLite each has its own."""

import json

import pytest

from harness.daemon import Daemon, default_config
from harness.prosody import COMPONENT_SECRET, INVITE_HOST
from harness.stories import Invite, eventually, generate, has_account, register, used
from harness.xmpp import StanzaError

OTHER = "example.net"


@pytest.fixture
def server(make_server):
    """A server with the daemon of example.org.
    The other daemon has the component of example.net."""
    return make_server(hosts={host: INVITE_HOST for host in ("example.org", OTHER)},
                       components={f"invite.{host}": COMPONENT_SECRET for host in ("example.org", OTHER)},
                       settings={"hosts": {OTHER: None}})


@pytest.fixture
def other(server, tmp_path):
    config = default_config(server.prosody.component_port, COMPONENT_SECRET, jid=f"invite.{OTHER}", hosts=[OTHER])
    config["store"] = server.daemon.config["store"]
    with Daemon(tmp_path / "other", config) as daemon:
        yield daemon


async def test_each_daemon_lets_people_in_on_its_own_host(server, other):
    here, there = generate(server), generate_by(other)
    for domain, invite in ((OTHER, here), ("example.org", there)):
        with pytest.raises(StanzaError, match="cancel/item-not-found"):
            await register(server, "nobody", invite, domain=domain)
        assert not await has_account(server, "nobody", domain=domain)
    await register(server, "carol", here)
    await register(server, "dave", there, domain=OTHER)
    await used(server, here)
    await eventually(lambda: uses_by(other, there) == 1, "the use is counted")
    assert await has_account(server, "carol") and await has_account(server, "dave", domain=OTHER)


async def test_one_host_goes_on_while_the_daemon_of_the_other_is_away(server, other):
    here, there = generate(server), generate_by(other)
    other.kill()
    with pytest.raises(StanzaError, match="wait/"):
        await register(server, "dave", there, domain=OTHER)
    await register(server, "carol", here)
    other.start()
    await register(server, "dave", there, domain=OTHER)
    assert await has_account(server, "carol") and await has_account(server, "dave", domain=OTHER)


def generate_by(daemon):
    made = daemon.cli("--json", "generate", OTHER)
    assert made.returncode == 0, made.stderr
    return Invite(json.loads(made.stdout)["uri"])


def uses_by(daemon, invite):
    return json.loads(daemon.cli("--json", "show", invite.uri).stdout)["uses"]
