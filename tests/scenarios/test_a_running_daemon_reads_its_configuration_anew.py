"""SIGHUP (`systemctl reload`): the daemon reads its configuration anew while everything goes on. It
takes over all of it, except for what needs a restart, or nothing."""

import asyncio
import copy

import pytest

from harness.daemon import REPOSITORY
from harness.process import free_port
from harness.prosody import INVITE_HOST, USUAL_MODULES
from harness.server import Server, password_of
from harness.stories import (
    CREATE_ACCOUNT, NEW_INVITE, Invite, eventually, generate, has_account, held, new_invite, register, show, used,
    uses_taken)
from harness.web import Visitor, text, web_settings
from harness.xmpp import StanzaError, form_in, form_values

HOSTS = {"example.org": INVITE_HOST, "example.net": INVITE_HOST + 'easy_invite_component = "invite.example.org"\n'}


@pytest.fixture(scope="module")
def running(prosody_version, store_url, tmp_path_factory):
    settings = {**web_settings(), "limits": {"wrong_tokens": "unlimited"}}
    settings["hosts"]["example.net"] = None
    with Server(prosody_version, tmp_path_factory.mktemp("server"), store_url=store_url(), settings=settings,
                hosts=HOSTS, modules=[*USUAL_MODULES, "held_registrations"]) as server:
        yield server


@pytest.fixture
def server(running):
    """The same server for all tests, with the configuration with which it started."""
    first = copy.deepcopy(running.daemon.config)
    yield running
    assert running.daemon.logins == 1, "the stream has lived on"
    running.daemon.config = first
    assert "WARN" not in running.daemon.reload()


def host_of(server, name="example.org"):
    return server.daemon.config["hosts"].setdefault(name, {})


async def test_limits_and_policies_hold_from_then_on(server):
    alice = await server.login("alice")
    await new_invite(alice)
    host_of(server)["invites_per_day"] = 1
    server.daemon.reload()
    with pytest.raises(StanzaError, match="within a day"):
        await new_invite(alice)
    host_of(server).update(invites_per_day=100, allow_user_invites=False)
    server.daemon.reload()
    assert show(server, await new_invite(alice))["type"] == "contact"


async def test_what_was_counted_counts_under_the_new_limits(server):
    visitor = Visitor(server)
    for _ in range(3):
        assert (await visitor.get(visitor.path("A" * 24))).status == 404
    server.daemon.config["limits"]["pages"] = 4
    server.daemon.reload()
    assert (await visitor.get(visitor.path("A" * 24))).status == 404
    assert (await visitor.get(visitor.path("A" * 24))).status == 429


async def test_an_open_form_is_answered(server):
    admin = await server.login("admin")
    shown = await admin.execute(server.domain, CREATE_ACCOUNT)
    host_of(server)["expire_after"] = "never"
    server.daemon.reload()
    done = await admin.execute(server.domain, CREATE_ACCOUNT, action="complete", session=shown.get("sessionid"),
                               form={})
    assert show(server, Invite(form_values(form_in(done))["uri"]))["expires_at"] is None


async def test_a_new_host_is_served_at_once(server):
    with pytest.raises(StanzaError):
        await register(server, "dora", domain="example.net")
    host_of(server, "example.net")
    server.daemon.reload()
    await eventually(lambda: "the hook is there host=example.net" in server.daemon.log, "the hook is greeted")
    await register(server, "dora", generate(server, host="example.net"), domain="example.net")
    assert await has_account(server, "dora", domain="example.net")


async def test_a_host_that_goes_away_is_unknown(server):
    host_of(server, "example.net")
    server.daemon.reload()
    invite = generate(server, "--uses", "3", host="example.net")
    presented, in_flight = await server.connect("example.net"), await server.connect("example.net")
    await presented.preauth(invite.token)
    await in_flight.preauth(invite.token)
    with held(server):
        finishing = asyncio.create_task(in_flight.registration_set("fay", password_of("fay")))
        await eventually(lambda: uses_taken(server, invite) == 1, "a use is reserved")
        del server.daemon.config["hosts"]["example.net"]
        server.daemon.reload()
    for stream in presented, await server.connect("example.net"):
        with pytest.raises(StanzaError, match="is not served|does not serve"):
            if stream is not presented:
                await stream.preauth(invite.token)
            await stream.registration_set("gil", password_of("gil"))
    await finishing
    await used(server, invite)
    assert await has_account(server, "fay", domain="example.net")
    assert not await has_account(server, "gil", domain="example.net")
    visitor = Visitor(server)
    assert (await visitor.get(visitor.path(invite))).status != 200


async def test_a_form_in_flight_finishes(server):
    invite = generate(server)
    with held(server):
        sending = asyncio.create_task(Visitor(server).register(invite, "hal", "correct horse battery"))
        await eventually(lambda: uses_taken(server, invite) == 1, "a use is reserved")
        server.daemon.config["web"]["name"] = "Another name"
        server.daemon.reload()
    assert (await sending).heading == text("welcome", account="hal@example.org")
    await used(server, invite)


async def test_texts_and_templates_change(server, tmp_path):
    english = tmp_path / "languages" / "en.toml"
    english.parent.mkdir()
    built_in = (REPOSITORY / "languages" / "en.toml").read_text()
    english.write_text(built_in.replace(text("new_invite", table="command"), "Ask a friend"))
    server.daemon.config["web"]["templates"] = str(tmp_path)
    server.daemon.reload()
    alice = await server.login("alice")
    assert (await alice.commands(server.component))[NEW_INVITE].name == "Ask a friend"
    (tmp_path / "style.css").write_text("/* ours */")
    english.unlink()
    server.daemon.reload()
    assert (await alice.commands(server.component))[NEW_INVITE].name == text("new_invite", table="command")
    visitor = Visitor(server)
    assert "/* ours */" in (await visitor.get(visitor.path(generate(server)))).body


async def test_the_public_address_and_the_proxies_change(server):
    visitor = Visitor(server)
    web = server.daemon.config["web"]
    web.update(public_url=f"http://{web['listen']}/elsewhere", trusted_proxies=["192.0.2.1"], name="Our chat")
    server.daemon.reload()
    url = server.daemon.cli("generate", "example.org").stdout.splitlines()
    assert any(f"http://{web['listen']}/elsewhere/i/" in line for line in url), url
    page = await visitor.get(f"/elsewhere/i/{generate(server).token}")
    assert page.status == 200 and "Our chat" in page.body


@pytest.mark.parametrize(("break_it", "named"), [
    (lambda config: config["hosts"]["example.org"].update(expire_after="soon"), 'hosts."example.org".expire_after'),
    (lambda config: config.update(hots={}), "hots: unknown key"),
    (lambda config: config["component"].pop("secret"), "component.secret: missing"),
    (lambda config: config["web"].update(logo="/nowhere.svg"), "/nowhere.svg: there is no such file"),
    (lambda config: config["web"].update(templates="bad"), "layout.html"),
], ids=["value", "key", "secret", "logo", "template"])
async def test_a_file_that_cannot_be_used_changes_nothing(server, break_it, named):
    (server.daemon.folder / "bad").mkdir(exist_ok=True)
    (server.daemon.folder / "bad" / "layout.html").write_text("{% if %}")
    alice = await server.login("alice")
    break_it(server.daemon.config)
    host_of(server)["allow_contact_invites"] = False
    said = server.daemon.reload()
    assert named in said and "stays in force" in said and said.count("ERROR") == 1, said
    await new_invite(alice)
    assert (await Visitor(server).get("/join/i/")).status == 404


async def test_a_file_that_is_no_configuration_changes_nothing(server):
    alice = await server.login("alice")
    server.daemon.config = "[hosts]\n[[["
    said = server.daemon.reload()
    assert "config.toml:2: " in said and "stays in force" in said, said
    await new_invite(alice)


async def test_what_needs_a_restart_stays_and_the_rest_is_taken_over(server):
    alice = await server.login("alice")
    config = server.daemon.config
    listen = config["web"]["listen"]
    config["component"].update(secret="another", server="127.0.0.1:1")
    config["store"]["url"] = "sqlite:another.db"
    config["control"] = {"socket": "another.sock"}
    config["web"]["listen"] = f"127.0.0.1:{free_port()}"
    config["metrics"] = {"listen": f"127.0.0.1:{free_port()}"}
    host_of(server)["allow_user_invites"] = False
    said = server.daemon.reload()
    warnings = [line for line in said.splitlines() if "WARN" in line]
    keys = ["component.secret", "component.server", "control.socket", "metrics", "store.url", "web.listen"]
    assert len(warnings) == 1 and all(key in warnings[0] for key in keys[:5]), said
    assert "systemctl restart easy-invite" in warnings[0] and "1 more" in warnings[0]
    invite = await new_invite(alice)
    config["web"]["listen"] = listen
    visitor = Visitor(server)
    assert (await visitor.get(visitor.path(invite))).status == 200


async def test_a_web_side_that_is_not_open_yet_is_not_linked_to(server):
    alice = await server.login("alice")
    web = server.daemon.config.pop("web")
    said = server.daemon.reload()
    assert "differs from what the daemon serves in web: systemctl restart" in said, said
    done = await alice.execute(server.domain, NEW_INVITE)
    assert form_values(form_in(done))["landing-url"].startswith(web["public_url"]), "the pages are still there"
