"""Prosody's other modules have a say in who registers: one refuses the name of a deleted account,
another one a name that looks like a user's, a third one a name on its list. Such a name is not
offered in the form, and no invite is made for it: the answer names the module. Asking the modules
counts against no limit. A module that refuses every request without an address says nothing about
the name."""

import pytest

from harness.prosody import INVITE_HOST
from harness.server import Server
from harness.stories import (CREATE_ACCOUNT, generate, has_account, new_account_invite, register, reset_link, show,
                             used)
from harness.web import Visitor, text, web_settings
from harness.xmpp import StanzaError, form_in, form_values

LIMIT = "    registration_throttle_max = 1\n    registration_throttle_period = 3600\n    registration_allowlist = {}\n"
HOST = INVITE_HOST.replace("{ ", '{ "tombstones", "mimicking", "particular", "register_limits", ') + LIMIT
SETTINGS = {**web_settings(), "limits": {limit: "unlimited" for limit in ("pages", "forms")}}

# Who refuses a name, and why if it says so.
REFUSED = {"bob2": "mod_tombstones", "bob3": "mod_particular: No bobs of this kind",
           "bob4": "mod_particular: Not a fourth one", "bob5": "mod_particular", "mary": "mod_mimicking"}


@pytest.fixture(scope="module")
def server(prosody_version, store_url, tmp_path_factory):
    """bob2 was deleted. rnary looks like mary. An address registers once an hour."""
    with Server(prosody_version, tmp_path_factory.mktemp("server"), store_url=store_url(), settings=SETTINGS,
                hosts={"example.org": HOST}) as running:
        running.prosody.adduser("bob2@example.org", "secret")
        running.prosody.deluser("bob2@example.org")
        yield running


@pytest.fixture(scope="module", autouse=True)
def lookalike(server):
    """mod_mimicking learns of users by their registrations."""
    server.prosody.shell('> prosody.hosts["example.org"].events.fire_event("user-registered", '
                         '{ username = "rnary", host = "example.org" })')


async def test_the_form_offers_none(server):
    invite, visitor = generate(server), Visitor(server)
    generate(server, "--username", "bob7")  # is reserved, too
    for _ in range(3):
        taken = await visitor.register(invite, "bob")
        assert taken.status == 409 and text("username_taken", username="bob") in taken.text, taken.text
        assert taken.fields["username"] == "bob6" and text("suggestions", usernames="bob6, bob8, bob9") in taken.text
        assert 'aria-invalid="true"' not in taken.body, "nothing is wrong with the name in the field"
    assert 'aria-invalid="true"' in (await visitor.register(invite, "b/b")).body
    assert (await visitor.register(invite, "bob6")).status == 200, "it is free, and asking counted for no limit"
    await used(server, invite)
    assert "IP not known" not in server.prosody.log


@pytest.mark.parametrize("name", REFUSED)
async def test_the_form_and_clients_say_that_it_is_the_name(server, name):
    invite = generate(server)
    last = len(name) + ord(name[-1])
    for number, language in enumerate(("en", "de")):
        async with await server.connect(source=f"127.0.{number + 3}.{last}", language=language) as stream:
            await stream.preauth(invite.token)
            with pytest.raises(StanzaError) as refused:
                await stream.registration_set(name, "kites and lamps")
        _, _, own_words = REFUSED[name].partition(": ")
        assert refused.value.text == (own_words or text("username_refused", language=language, username=name))
    visitor = Visitor(server, headers={"X-Forwarded-For": f"192.0.2.{last}"})
    refused = await visitor.register(invite, name, "kites and lamps")
    assert refused.status == 409 and text("username_refused", username=name) in refused.text, refused.text
    assert refused.fields["username"].startswith(name) and refused.fields["username"] != name
    assert ("Not a fourth one" in refused.text) == (name == "bob4")
    assert not await has_account(server, name, password="kites and lamps")
    assert show(server, invite)["uses"] == 0


@pytest.mark.parametrize("name", REFUSED)
async def test_no_invite_is_made_for_it(server, name):
    because = f"registers nobody as {name} ({REFUSED[name]}). Choose another username"
    refused = server.daemon.cli("generate", "example.org", "--username", name)
    assert (refused.returncode, refused.stdout) == (1, "") and because in refused.stderr, refused.stderr
    code, output, errors = server.prosody.prosodyctl("mod_easy_invite", "generate", "example.org", "--username", name)
    assert (code, output) == (1, "") and because in errors, errors
    async with await server.login("admin") as admin:
        shown = await admin.execute("example.org", CREATE_ACCOUNT)
        again = await admin.execute("example.org", CREATE_ACCOUNT, action="complete", session=shown.get("sessionid"),
                                    form={"username": name})
        problem = form_values(form_in(again))["error"]
        assert again.get("status") == "executing" and because in problem and problem.startswith("Please correct “Us")


async def test_no_name_is_longer_than_the_server_can_store(server):
    longest = 250 * "c"  # with ".dat~" behind it
    refused = server.daemon.cli("generate", "example.org", "--username", longest + "c")
    assert refused.returncode == 1 and "is not a valid username" in refused.stderr, refused.stderr
    for number, name in enumerate([longest, 200 * "d"]):
        invite = generate(server, "--username", name)
        await register(server, name, invite, password="kites and lamps", source=f"127.0.2.{number + 1}")
    taken = await Visitor(server).register(generate(server), 200 * "d", "kites and lamps")
    assert taken.status == 409 and taken.fields["username"] == 200 * "d", "the form takes none that is longer"


async def test_for_other_names_it_is(server):
    admin = await server.login("admin")
    for name, invite in {"bob9": generate(server, "--username", "bob9"),
                         "marx": await new_account_invite(admin, {"username": "marx"})}.items():
        await register(server, name, invite, source=f"127.0.1.{len(name) + ord(name[0])}")
        await used(server, invite)
    await reset_link(admin, "alice@example.org")
    assert generate(server, "--reset", "bob").uri
