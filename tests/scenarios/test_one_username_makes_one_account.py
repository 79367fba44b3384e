"""A browser and a client register the same username at the same moment. There is one account, with
the password of the registration that was confirmed."""

import asyncio

import pytest

from harness.gate import GATE, PlayedDaemon
from harness.prosody import USUAL_MODULES
from harness.stories import has_account
from harness.xmpp import StanzaError, children


@pytest.mark.parametrize("first", ["browser", "client"])
async def test_the_first_one_has_the_username(make_server, first):
    server = make_server(run_daemon=False, modules=[*USUAL_MODULES, "slow_registrations"])
    daemon, stream = await PlayedDaemon.connect(server), await server.connect()

    def let_both_in(request):
        if children(request, "reserve"):
            daemon.stream.reply(request, f"<reserved xmlns='{GATE}' purpose='register'/>")
        else:
            daemon.stream.reply(request)

    daemon.stream.on_request = let_both_in
    doors = {"browser": lambda: daemon.create("r1", "carol", "the browser's"),
             "client": lambda: stream.registration_set("carol", "the client's")}
    second = "client" if first == "browser" else "browser"
    winner = asyncio.create_task(doors[first]())
    await asyncio.sleep(0.3)
    with pytest.raises(StanzaError, match="cancel/conflict: The requested username already exists."):
        await doors[second]()
    await winner
    assert await has_account(server, "carol", password=f"the {first}'s")
    assert not await has_account(server, "carol", password=f"the {second}'s")
