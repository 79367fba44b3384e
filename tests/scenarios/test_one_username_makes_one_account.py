"""A browser and a client register the same username at the same moment. There is one account, with
the password of the registration that was confirmed."""

import asyncio

import pytest

from harness.gate import GATE, PlayedDaemon
from harness.prosody import USUAL_MODULES
from harness.stories import eventually, has_account, held
from harness.xmpp import children


@pytest.mark.parametrize("first", ["browser", "client"])
async def test_one_of_them_has_the_username(make_server, first):
    server = make_server(run_daemon=False, modules=[*USUAL_MODULES, "held_registrations"])
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
    registrations = {}
    with held(server, "before"):
        for number, door in enumerate((first, second), 1):
            registrations[door] = asyncio.create_task(doors[door]())
            await eventually(lambda: server.prosody.log.count("Holding carol's registration") == number, "it has begun")
    outcomes = dict(zip(registrations, await asyncio.gather(*registrations.values(), return_exceptions=True)))
    [(loser, refusal)] = [(door, told) for door, told in outcomes.items() if isinstance(told, Exception)]
    assert str(refusal) == "cancel/conflict: The requested username already exists."
    for door in doors:
        assert await has_account(server, "carol", password=f"the {door}'s") == (door != loser)
