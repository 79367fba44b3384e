"""A daemon that Prosody does not let in logs what to change, and keeps trying.
After the change, on either side, it is let in."""

import asyncio

import pytest

from harness.daemon import Daemon
from harness.stories import eventually, new_invite


@pytest.fixture
def server(make_server):
    return make_server(run_daemon=False)


async def test_a_wrong_secret(server):
    secret = server.daemon.config["component"]["secret"]
    server.prosody.components["invite.example.org"] = "another secret"
    server.prosody.restart()
    await assert_kept_out(server, "refused the secret of invite.example.org", "component_secret")
    server.prosody.components["invite.example.org"] = secret
    server.prosody.restart()
    await assert_let_in(server)
    assert secret not in server.daemon.log and "another secret" not in server.daemon.log


async def test_a_wrong_secret_is_said_with_its_source(server):
    """The one of the environment may be stale, and wins over what the operator has just written. Around the
    right one, files of variables leave quotes and line breaks."""
    component, secret = server.daemon.config["component"], server.daemon.config["component"]["secret"]
    await assert_kept_out_by(server, "$EASY_INVITE_SECRET in the environment, which wins over component.secret in",
                             stale="a stale secret")
    file = server.daemon.folder / "secret"
    file.write_text("an old secret\n")
    del component["secret"]
    component["secret_file"] = str(file)
    await assert_kept_out_by(server, f"{file}, the component.secret_file of")
    await assert_kept_out_by(server, f"$EASY_INVITE_SECRET in the environment, which wins over {file}",
                             stale="a stale secret")
    server.daemon.environment["EASY_INVITE_SECRET"] = f'"{secret}"\r\n'
    server.daemon.start()
    assert "an old secret" not in server.daemon.log and "a stale secret" not in server.daemon.log


async def assert_kept_out_by(server, source: str, *, stale: str = "") -> None:
    """The daemon starts, is refused, and says that this source has a wrong secret."""
    server.daemon.environment["EASY_INVITE_SECRET"] = stale
    await assert_kept_out(server, "refused the secret of invite.example.org", f"make {source}")
    server.daemon.stop()


async def test_a_component_that_prosody_does_not_know(server):
    secret = server.prosody.components.pop("invite.example.org")
    server.prosody.components["elsewhere.example.org"] = secret
    server.prosody.restart()
    await assert_kept_out(server, "does not know the component", 'add Component "invite.example.org"')
    server.prosody.components["invite.example.org"] = secret
    server.prosody.restart()
    await assert_let_in(server)


async def test_prosody_is_down(server):
    server.prosody.stop()
    await assert_kept_out(server, "cannot be reached", f"127.0.0.1:{server.prosody.component_port}", "component port")
    server.prosody.start()
    await assert_let_in(server)


async def test_another_daemon_is_connected(server, tmp_path):
    other = Daemon(tmp_path, server.daemon.config)
    with other:
        await assert_kept_out(server, "invite.example.org is connected already", "end the other daemon")
        assert other.logins == 1
        await new_invite(await server.login("alice"))
    await assert_let_in(server)


async def assert_kept_out(server, *words):
    """The daemon starts, logs a line with all of these words, and keeps trying."""
    server.daemon.start(wait=False)
    await eventually(lambda: any(all(word in line for word in words) for line in server.daemon.log.splitlines()),
                     f"a line with {words}")
    assert server.daemon.exit_code is None and server.daemon.logins == 0


async def assert_let_in(server):
    await asyncio.to_thread(server.daemon.wait_until_logged_in)
    await new_invite(await server.login("alice"))
