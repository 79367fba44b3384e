"""The daemon, Prosody, both, or the wire between them fail just before a stanza of a browser's
registration arrives. The browser sends the form again until they are back. It makes the one account
that it is for, nobody else gets an account by that use, and the use is not lost."""

import pytest

from harness.relay import FAULTS, Relay
from harness.stories import eventually, generate, has_account, used
from harness.web import Visitor, web_settings

STANZAS = {"account": "<account ", "known": "<account [^>]*exists=", "create": "<create ", "created": "<fate "}
PASSWORD = "kites and lamps"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stanza", STANZAS)
@pytest.mark.seconds(120)
async def test_at_any_stanza(make_server, stanza, fault):
    server = make_server(run_daemon=False, settings=web_settings())
    with Relay(server.prosody.component_port) as relay:
        server.daemon.config["component"]["server"] = relay.address
        server.daemon.start()
        invite, visitor = generate(server, "--contact", "alice@example.org"), Visitor(server)
        form, path = await visitor.filled_in(invite, "carol", PASSWORD), visitor.path(invite, "register")
        relay.before(STANZAS[stanza], lambda: FAULTS[fault](server, relay))
        first = await relay.struck_during(lambda: visitor.status_of(path, form))
        assert await first in (None, 503), "neither success nor a refusal is reported yet"
        server.revive()

        async def welcomed():
            return await visitor.status_of(path, form) == 200

        await eventually(welcomed, "the form makes the account")
        assert await visitor.status_of(path, form) == 200
        await used(server, invite)
        assert await has_account(server, "carol", password=PASSWORD)
        other = Visitor(server)
        assert (await other.get(other.path(invite, "register"))).status == 410
        assert await visitor.status_of(path, {**form, "username": "dave"}) == 410
        assert not await has_account(server, "dave", password=PASSWORD)
        async with await server.login("alice") as alice:
            assert (await alice.roster())["carol@example.org"].subscription == "both"
