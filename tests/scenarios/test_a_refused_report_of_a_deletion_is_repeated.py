"""The hook reports that an account was deleted. The daemon refuses the report, for the moment or
because its configuration lacks the VirtualHost. The hook repeats it until the daemon accepts it,
and then the account's invites end."""

from harness.gate import PlayedDaemon, is_ping
from harness.stories import eventually, generate, new_invite, show

REPEATED_WITHIN = 20  # seconds


async def test_when_the_host_is_back_in_the_configuration(make_server):
    server = make_server()
    ending = [await new_invite(await server.login("bob")), generate(server, "--reset", "bob")]
    with_host = server.daemon.config["hosts"]
    server.daemon.config["hosts"] = {"elsewhere.example": {}}
    server.daemon.restart()
    server.prosody.deluser("bob@example.org")
    await eventually(lambda: "does not serve example.org" in server.prosody.log, "the report is refused")
    assert [show(server, invite)["state"] for invite in ending] == ["pending", "pending"]

    server.daemon.config["hosts"] = with_host
    server.daemon.restart()
    for invite in ending:
        await eventually(lambda: show(server, invite)["state"] == "revoked", "the invite has ended")


async def test_some_seconds_later(make_server):
    server = make_server(run_daemon=False)
    stream = (await PlayedDaemon.connect(server)).stream
    reports = []

    def answer(request):
        if not is_ping(request):
            reports.append(request)
        if len(reports) == 1:
            stream.reply_error(request, "wait", "internal-server-error")
        else:
            stream.reply(request)

    stream.on_request = answer
    server.prosody.deluser("bob@example.org")
    await eventually(lambda: len(reports) == 2, "the deletion is reported twice", REPEATED_WITHIN)
    assert [report[0].get("username") for report in reports] == ["bob", "bob"]
