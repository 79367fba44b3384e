"""compose.yaml, as `docker compose up` reads it: its services are started in their order, Prosody's
from a root of Debian 13 in place of its image. Then one command gives a link.
"""

import json
import re
import secrets
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.containers import IMAGE, PATIENCE, Container, compose, once, options_of, podman
from harness.debian import debian_13
from harness.daemon import LOGGED_IN, READ_ANEW
from harness.web import Visitor

CONFIGURATION = Path(__file__).with_name("prosody.cfg.lua")
VARIABLES = {"DOMAIN": "example.org", "COMPONENT_SECRET": secrets.token_hex(16)}
PROSODY = "mkdir -p /run/prosody && chown prosody: /var/lib/prosody /run/prosody && " \
    "exec runuser -u prosody -- prosody -F"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Container]]:
    """The services that run, by their names."""
    folder = tmp_path_factory.mktemp("composed")
    (folder / "certs").mkdir()
    composed = compose(VARIABLES)
    described = composed["services"]
    assert described["prosody"]["image"] == "prosodyim/prosody:13.0"
    assert described["prosody"]["depends_on"] == {"module": {"condition": "service_completed_successfully"}}
    assert described["easy-invite"]["image"] == described["module"]["image"] == Path(IMAGE).name
    options = {name: options_of(service, composed, folder) for name, service in described.items()}
    done = once(*described["module"]["command"].split(), options=options["module"])
    assert done.returncode == 0, done.stderr
    image = ["--rootfs", f"{debian_13()}:O"]
    mounted = ["--volume", f"{CONFIGURATION}:/etc/prosody/prosody.cfg.lua:ro"]
    prosody = Container("prosody", *options["prosody"], *mounted, image=image, command=["sh", "-c", PROSODY])
    daemon = Container("easy-invite", *options["easy-invite"])
    try:
        with prosody, daemon:
            daemon.wait_for(LOGGED_IN)
            yield {"prosody": prosody, "easy-invite": daemon}
    finally:
        podman("volume", "rm", "--all", "--force", check=False)


def link(services: dict[str, Container]) -> str:
    """A new link, made as docs/container.md says."""
    made = services["easy-invite"].exec("easy-invite", "generate", "example.org").stdout
    found = re.match(r"https://invite\.example\.org/i/(\w{24})\nxmpp:example\.org\?register;preauth=\1\n", made)
    assert found, made
    return found[1]


def browser() -> Visitor:
    """A browser behind a proxy on this machine."""
    web = {"public_url": "https://invite.example.org", "listen": "127.0.0.1:5380"}
    return Visitor(SimpleNamespace(daemon=SimpleNamespace(config={"web": web})))


def test_everything_is_in_order(services: dict[str, Container]) -> None:
    """`check` has no line with FAILED, and names the environment as the configuration. It warns of
    nothing but the certificate, which the operator has not put there yet."""
    checked = services["easy-invite"].exec("easy-invite", "check").stdout
    names = "HOSTS, EASY_INVITE_JID, EASY_INVITE_LISTEN, EASY_INVITE_PUBLIC_URL, EASY_INVITE_SERVER, " \
            "EASY_INVITE_TRUSTED_PROXIES"
    assert re.search(rf"^config +ok +the environment: EASY_INVITE_{names}$", checked, re.MULTILINE), checked
    for part in ("daemon", "store", "web", "component", "hook example.org"):
        assert re.search(rf"^{part} +ok ", checked, re.MULTILINE), checked
    assert "FAILED" not in checked and checked.count(" WARN ") == 1, checked
    assert re.search("WARN +apps cannot connect to example.org with .*it has no certificate", checked), checked
    assert "mod_easy_invite" in checked and VARIABLES["COMPONENT_SECRET"] not in checked


async def test_a_friend_registers_on_the_page_of_the_link(services: dict[str, Container]) -> None:
    """One friend by one link, and nobody after that."""
    token = link(services)
    for name, status in (("friend", 200), ("another", 404)):
        visitor = browser()
        page = await visitor.get(f"/i/{token}/register")
        if page.status == 200:
            filled_in = {**page.fields, "username": name, "password": f"a long password of {name}"}
            page = await visitor.post(f"/i/{token}/register", filled_in)
        assert (page.status < 400) == (status == 200), f"{name}: {page.status} {page.heading}"
    accounts = services["prosody"].exec("ls", "/var/lib/prosody/example%2eorg/accounts").stdout.split()
    assert accounts == ["friend.dat"]


def test_every_proxy_of_a_container_network_speaks_for_its_clients(services: dict[str, Container]) -> None:
    """What is trusted has the networks of Docker's and Podman's bridges."""
    composed = compose(VARIABLES)["services"]["easy-invite"]["environment"]
    networks = [ip_network(network) for network in composed["EASY_INVITE_TRUSTED_PROXIES"].split()]
    for proxy in ("172.17.0.1", "172.31.0.2", "192.168.16.3", "10.89.0.2", "fd12::2"):
        assert any(ip_address(proxy) in network for network in networks), proxy
    assert not any(network.is_global for network in networks)


def test_a_hangup_reads_a_file_that_has_come_since(services: dict[str, Container]) -> None:
    """Without a file there is nothing new to read. One that has come is told, and read when asked."""
    daemon = services["easy-invite"]
    podman("kill", "--signal", "HUP", daemon.name)
    daemon.wait_for(READ_ANEW)
    store = Path(podman("volume", "inspect", "--format", "{{.Mountpoint}}", "easy-invite").stdout.strip())
    (store / "config.toml").write_text('[hosts."example.org"]\nexpire_after = "1d"\n')
    checked = daemon.exec("easy-invite", "check", check=False).stdout
    assert 'config.toml differs from what the daemon serves in hosts."example.org".expire_after' in checked, checked
    podman("kill", "--signal", "HUP", daemon.name)
    deadline = time.monotonic() + PATIENCE
    while "FAILED" in (checked := daemon.exec("easy-invite", "check", check=False).stdout):
        assert time.monotonic() < deadline, checked
    assert re.search("^config +ok +config.toml, and EASY_INVITE_HOSTS, ", checked, re.MULTILINE), checked
    made = json.loads(daemon.exec("easy-invite", "generate", "example.org", "--json").stdout)
    lifetime = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert lifetime == timedelta(days=1)


def test_a_stop_is_no_kill(services: dict[str, Container]) -> None:
    """The daemon ends by itself when it is told to, also as the container's first process."""
    assert services["easy-invite"].stop() == 0
    assert "easy-invite stopped" in services["easy-invite"].log
