"""If Prosody itself refuses a registration (here:
too many from one address), the invite stays good."""

import pytest

from harness.prosody import USUAL_MODULES
from harness.stories import generate, register, show
from harness.xmpp import StanzaError


# By default, Prosody does not limit 127.0.0.1.
ONE_IN_TEN_MINUTES = """
min_seconds_between_registrations = 600
registration_allowlist = { "192.0.2.1" }
"""


async def test_too_many_registrations_from_one_address(make_server):
    server = make_server(modules=[*USUAL_MODULES, "register_limits"],
                         global_lines=ONE_IN_TEN_MINUTES)
    await register(server, "first", generate(server))
    invite = generate(server)
    with pytest.raises(StanzaError, match="wait/policy-violation: Too many registrations"):
        await register(server, "second", invite)
    assert show(server, invite)["uses"] == 0
