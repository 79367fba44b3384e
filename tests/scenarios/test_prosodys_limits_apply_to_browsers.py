"""Prosody's own limits apply to registrations in a browser, too:
the daemon passes on the browser's address."""

import pytest

from harness.gate import PlayedDaemon
from harness.prosody import USUAL_MODULES
from harness.xmpp import StanzaError

LIMITS = """
min_seconds_between_registrations = 600
registration_blocklist = { "198.51.100.0/24" }
"""


async def test_too_many_from_one_address_and_a_blocked_one(make_server):
    server = make_server(run_daemon=False, modules=[*USUAL_MODULES, "register_limits"], global_lines=LIMITS)
    daemon = await PlayedDaemon.connect(server)
    assert await daemon.create("r1", "first", "password", address="203.0.113.7") == "made"
    with pytest.raises(StanzaError, match="wait/policy-violation: Too many registrations"):
        await daemon.create("r2", "second", "password", address="203.0.113.7")
    with pytest.raises(StanzaError, match="auth/forbidden: Your IP address is bl"):
        await daemon.create("r3", "third", "password", address="198.51.100.3")
    assert await daemon.create("r4", "fourth", "password", address="2001:db8::7") == "made"
    assert [await daemon.account_exists(name) for name in ("second", "third")] == [False, False]


async def test_the_password_policy(make_server, tmp_path):
    (tmp_path / "mod_password_policy.lua").write_text("""
        -- What other modules use of the community module.
        function check_password(password, about)
            return password ~= about.username, "The password must not be the username";
        end
    """)
    server = make_server(run_daemon=False, modules=[*USUAL_MODULES, "password_policy"], plugin_folders=[tmp_path])
    daemon = await PlayedDaemon.connect(server)
    with pytest.raises(StanzaError, match="modify/policy-violation: The password must not be the username"):
        await daemon.create("r1", "carol", "carol")
    assert await daemon.create("r2", "carol", "another") == "made"
