"""An address that presents too many wrong tokens is refused for a while, even with a good one. The
log has one line for that, which fail2ban reads. Others still register."""

import shutil
import subprocess

import pytest

from harness.daemon import REPOSITORY
from harness.stories import eventually, generate, has_account, register, used
from harness.xmpp import StanzaError

FAIL2BAN = REPOSITORY / "contrib" / "fail2ban"
FILTER = FAIL2BAN / "filter.d" / "easy-invite.conf"
GUESSER, OTHER = "127.0.0.2", "127.0.0.3"
MOST = 5
REFUSED = ("wait/policy-violation: Too many unknown invitations have been tried from your network. "
           "Please try again after 20")
UNKNOWN = "A" * 24


@pytest.fixture
def server(make_server):
    return make_server(settings={"limits": {"wrong_tokens": MOST}})


async def test_it_is_refused_and_others_register(server):
    invite, late = generate(server), await server.connect(source=GUESSER)
    await late.preauth(invite.token)
    last = await guess(server)
    assert "policy-violation" in await last.expect_end()
    for presented in (UNKNOWN, invite.token):
        stream = await server.connect(source=GUESSER)
        with pytest.raises(StanzaError, match=REFUSED):
            await stream.preauth(presented)
        assert "policy-violation" in await stream.expect_end()
    with pytest.raises(StanzaError, match=REFUSED):
        await late.registration_set("mallory", "mallory's password")
    assert not await has_account(server, "mallory")
    await register(server, "carol", invite, source=OTHER)
    assert await has_account(server, "carol")
    assert [line.partition("WARN ")[2] for line in refusals_in(server.daemon.log)] == [
        f"too many unknown invitations from {GUESSER}: refused for 10 minutes"]


@pytest.mark.one_setup
async def test_used_links_are_no_guesses(server):
    real = generate(server)
    await register(server, "dave", real, source=GUESSER)
    await used(server, real)
    for _ in range(2 * MOST):
        stream = await server.connect(source=GUESSER)
        with pytest.raises(StanzaError, match="cancel/item-not-found"):
            await stream.preauth(real.token)
    await register(server, "erin", generate(server), source=GUESSER)
    assert not refusals_in(server.daemon.log)


@pytest.mark.one_setup
async def test_fail2ban_reads_the_line(server, tmp_path):
    await guess(server)
    await eventually(lambda: refusals_in(server.daemon.log), "the log names the address")
    [refusal] = refusals_in(server.daemon.log)
    _, level, said = refusal.partition("WARN")
    for number, line in enumerate((refusal, f" {level}{said}", level + said)):  # in the journal it has no time
        journal = tmp_path / f"journal-{number}"
        journal.write_text(f"2026-11-24T10:00:00+00:00 xmpp easy-invite[123]: {line}\n")
        assert banned(journal) == [GUESSER]
    assert banned(server.daemon.log_file) == [GUESSER]
    network, forged = tmp_path / "network", tmp_path / "forged"
    network.write_text(refusal.replace(GUESSER, "2001:db8:1:2::/64") + "\n")
    assert banned(network) == ["2001:db8:1:2::/64"]
    forged.write_text(f"{refusal.replace('WARN', 'INFO WARN')}\n{refusal} indeed\nx {refusal}\n")
    assert banned(forged) == []


def test_fail2ban_takes_the_configuration(tmp_path):
    folder = tmp_path / "fail2ban"
    shutil.copytree("/etc/fail2ban", folder, ignore=shutil.ignore_patterns("defaults-debian.conf"))  # wants sshd's logs
    for file in FAIL2BAN.glob("*.d/*"):
        shutil.copy(file, folder / file.parent.name)
    run("fail2ban-client", "--conf", folder, "--test")


async def guess(server):
    """Presents wrong tokens, one a stream, until the address is refused.
    Returns the last stream."""
    for _ in range(MOST):
        stream = await server.connect(source=GUESSER)
        with pytest.raises(StanzaError):
            await stream.preauth(UNKNOWN)
    return stream


def refusals_in(log):
    return [line for line in log.splitlines() if "too many unknown invitations" in line]


def banned(log):
    """The addresses that fail2ban finds in a log."""
    return run("fail2ban-regex", "--out", "ip", log, FILTER).split()


def run(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
