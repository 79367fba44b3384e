"""The daemon refuses the hook's report that an account was deleted, since its configuration lacks
the VirtualHost. When the VirtualHost is there again, the hook reports it again, and the invites
end."""

from harness.stories import eventually, generate, new_invite, show


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
