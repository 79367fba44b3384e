"""With contrib/fail2ban, an address that tries unknown invitations is banned, by the action that
fail2ban uses for all jails: that of Debian 12, that of Debian 13, or one that the operator has
chosen. With IPv6, the whole network in the log is banned. All other addresses get in."""

from contextlib import ExitStack

import pytest

from harness.fail2ban import Fail2ban
from harness.stories import eventually
from harness.web import Visitor, web_settings
from harness.xmpp import StanzaError

MOST = 3
UNKNOWN = "A" * 24
GUESSER, OTHER = "127.0.0.2", "127.0.0.3"
GUESSER6, NEIGHBOUR6, OTHER6 = "2001:db8:1:2::7", "2001:db8:1:2:aaaa::8", "2001:db8:1:3::7"
ADDRESSES = (GUESSER6, NEIGHBOUR6, OTHER6)
NFTABLES, IPTABLES = ("nft",), ("iptables", "ip6tables")
DEFAULTS = {"12": (12, NFTABLES, ""), "12, with nftables": (12, IPTABLES, "banaction = nftables"),
            "13": (13, IPTABLES, ""), "13, with iptables": (13, NFTABLES, "banaction = iptables-multiport")}

pytestmark = pytest.mark.one_setup


@pytest.fixture
def server(make_server):
    return make_server(settings={**web_settings(), "limits": {"wrong_tokens": MOST}})


async def test_by_the_distributions_own_action(server, tmp_path):
    await guess_in_a_chat_client(server)
    await guess_in_a_browser(server)
    await eventually(lambda: server.daemon.log.count("too many unknown invitations") == 2, "the log names both")
    with ExitStack() as running:
        for name, (debian, missing, default) in DEFAULTS.items():
            fail2ban = Fail2ban(debian, tmp_path / name.replace(" ", "-"), server.daemon.log_file,
                                addresses=ADDRESSES, missing=missing, default=default)
            running.enter_context(fail2ban)
            for banned in (GUESSER, GUESSER6, NEIGHBOUR6):
                await eventually(lambda: not fail2ban.lets_in(banned), f"{banned} is banned by {name}")
            assert all(map(fail2ban.lets_in, (OTHER, OTHER6))), name
            assert "ERROR" not in fail2ban.log, fail2ban.log


async def guess_in_a_chat_client(server):
    for _ in range(MOST):
        async with await server.connect(source=GUESSER) as stream:
            with pytest.raises(StanzaError):
                await stream.preauth(UNKNOWN)


async def guess_in_a_browser(server):
    visitor = Visitor(server)
    for _ in range(MOST):
        await visitor.get(visitor.path(UNKNOWN), {"X-Forwarded-For": GUESSER6})
