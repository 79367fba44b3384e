"""The log of events has each change once, with who made it: a user, an admin, the operator on the
command line or on Prosody's, the chat server, or the daemon. The daemon's own log has a line for
each, also for what was done while it was away. Neither has a secret, or anybody who was
forgotten."""

import re

import pytest

from harness.stories import (Invite, differences, eventually, events, generate, new_account_invite, new_invite,
                             register, reset_link, revoke, show, used)
from harness.xmpp import StanzaError

NOTE = "for the twins next door"
FIELDS = {"at", "actor", "action", "host", "invite", "account", "detail", "count"}


@pytest.fixture
def server(make_server):
    return make_server(environment={"SUDO_USER": "eve"}, settings={"hosts": {"example.org": {"invites_per_day": 2}}})


async def test_with_its_actor(server):
    alice, admin, bob = await server.login("alice"), await server.login("admin"), await server.login("bob")
    made = {
        "user:alice@example.org": await new_invite(alice),
        "admin:admin@example.org": await new_account_invite(admin, {"username": "dave", "note": NOTE}),
        "cli:eve": generate(server, "--contact", "alice@example.org", "--note", NOTE),
        "hook:example.org": at_prosodys_command_line(server),
    }
    reset = await reset_link(admin, "alice@example.org")
    for actor, invite in made.items():
        assert [(event["actor"], event["action"]) for event in of(server, invite)] == [(actor, "made")]
    assert (of(server, reset)[0]["account"], of(server, reset)[0]["detail"]) == ("alice@example.org", "password-reset")

    await register(server, "carol", made["user:alice@example.org"])
    await used(server, made["user:alice@example.org"])
    redeemed = of(server, made["user:alice@example.org"])[-1]
    assert (redeemed["actor"], redeemed["action"]) == ("user:carol@example.org", "redeemed")
    assert (redeemed["account"], redeemed["detail"]) == ("carol@example.org", "register")

    for invite in (made["cli:eve"], made["cli:eve"], made["hook:example.org"]):
        revoke(server, invite)
    assert [(event["actor"], event["action"]) for event in of(server, made["cli:eve"])] == [
        ("cli:eve", "made"), ("cli:eve", "revoked")], "once, however often it is revoked"

    of_bob = [await new_invite(bob), await new_invite(bob)]
    for _ in range(3):
        with pytest.raises(StanzaError, match="wait/policy-violation"):
            await new_invite(bob)
    refused = [event for event in events(server) if event["action"] == "refused"]
    assert [(event["actor"], event["detail"], event["count"]) for event in refused] == [
        ("user:bob@example.org", "invites_per_day", 3)], "the refusals of an hour are one event"

    server.prosody.deluser("bob@example.org")
    await eventually(lambda: show(server, of_bob[1])["state"] == "revoked", "bob's invites end")
    for invite in of_bob:
        stopped = of(server, invite)[-1]
        assert (stopped["actor"], stopped["action"], stopped["account"], stopped["detail"]) == (
            "hook:example.org", "stopped", "bob@example.org", "account-deleted")

    told = events(server)
    assert all(set(event) == FIELDS for event in told)
    assert [event["at"] for event in told] == sorted(event["at"] for event in told), "the newest is last"
    assert differences(server) == []

    of_alice = events(server, "--account", "alice@example.org")
    assert [(event["actor"], event["action"]) for event in of_alice] == [
        ("user:alice@example.org", "made"), ("admin:admin@example.org", "made"), ("user:carol@example.org", "redeemed")]
    assert events(server, "example.org", "--since", "1h") == [event for event in told if event["host"]] == told
    assert events(server, "example.net") == []

    secrets = [invite.token for invite in (*made.values(), reset, *of_bob)] + [NOTE]
    logs = server.daemon.cli("log").stdout + server.daemon.cli("--json", "log").stdout + server.daemon.log
    assert not [secret for secret in secrets if secret in logs]


async def test_also_in_the_daemons_log_once(server):
    invite = generate(server)
    await said(server, f"invite made actor=cli:eve invite={show(server, invite)['id']} host=example.org")
    alice = await server.login("alice")
    by_alice = await new_invite(alice)
    await said(server, f"invite made actor=user:alice@example.org invite={show(server, by_alice)['id']}")
    await register(server, "carol", invite)
    await said(server, f"invite used actor=user:carol@example.org invite={show(server, invite)['id']}")
    revoke(server, by_alice)
    await said(server, f"invite revoked actor=cli:eve invite={show(server, by_alice)['id']}")

    server.daemon.stop()
    while_away = generate(server)
    server.daemon.start()
    await said(server, f"invite made actor=cli:eve invite={show(server, while_away)['id']}")
    server.daemon.kill()
    server.daemon.start()
    last = generate(server)
    await said(server, f"invite made actor=cli:eve invite={show(server, last)['id']}")
    told = re.findall(r"(invite (?:made|used|revoked)) actor=\S+ invite=(\S+)", server.daemon.log)
    assert len(told) == len(set(told)) == 6, f"each change once: {told}"


async def test_until_somebody_is_forgotten(server):
    alice = await server.login("alice")
    await register(server, "carol", await new_invite(alice))
    await eventually(lambda: "redeemed" in str(events(server)), "carol is there")
    server.prosody.deluser("carol@example.org")
    done = server.daemon.cli("forget", "carol@example.org", "--yes")
    assert done.returncode == 0, done.stderr
    told = events(server)
    assert "carol" not in str(told)
    assert [(event["actor"], event["action"], event["account"]) for event in told] == [
        ("user:alice@example.org", "made", None),
        ("user:forgotten.invalid", "redeemed", "forgotten.invalid"),
        ("cli:eve", "forgotten", None)]
    await said(server, "somebody forgotten actor=cli:eve")


def of(server, invite):
    told = events(server, "--invite", invite.uri)
    assert events(server, "--invite", "-", stdin=invite.uri) == told
    return told


def at_prosodys_command_line(server):
    code, output, errors = server.prosody.prosodyctl("mod_easy_invite", "generate", "example.org")
    assert code == 0, output + errors
    return Invite(output.strip())


async def said(server, line):
    await eventually(lambda: line in re.sub(r'"', "", server.daemon.log), f"the daemon's log says {line}")
