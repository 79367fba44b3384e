"""A password reset, in chat or in a browser, sets the password and leaves everything else of the
account as it is: when it was made, its roles, its contacts."""

import re

import pytest

from harness.stories import generate, has_account, register, used
from harness.web import Visitor, web_settings

PASSWORD = ("password", "stored_key", "server_key", "salt", "iteration_count", "updated")


async def in_chat(server, link):
    await register(server, "bob", link, password="kites and lamps")


async def in_a_browser(server, link):
    assert (await Visitor(server).reset(link, "kites and lamps")).status == 200


def stored(server, username):
    """What Prosody has stored for an account, but for the password."""
    host = server.prosody.data_folder / "example%2eorg"
    files = {path.parent.name: path.read_text() for path in host.glob(f"*/{username}.dat")}
    files["accounts"] = re.sub(rf'\t\["({"|".join(PASSWORD)})"\] = .*\n', "", files["accounts"])
    return files


@pytest.mark.parametrize("reset", [in_chat, in_a_browser], ids=lambda way: way.__name__)
@pytest.mark.parametrize("made_by", ["the operator", "an invite"])
async def test_all_else_stays_as_it_was(make_server, reset, made_by):
    server = make_server(settings=web_settings())
    if made_by == "an invite":
        server.prosody.deluser("bob@example.org")
        invite = generate(server, "--contact", "alice@example.org", "--role", "prosody:member")
        await register(server, "bob", invite)
        await used(server, invite)
    elif server.prosody.version == "13":
        server.prosody.shell('user:set_role("bob@example.org", "prosody:member")')
    else:
        server.prosody.shell('user:setroles("bob@example.org", { "prosody:member" })')
    link, before = generate(server, "--reset", "bob"), stored(server, "bob")
    assert before["accounts"].strip() and ("roles" in before or "account_roles" in before)
    await reset(server, link)
    await used(server, link)
    assert stored(server, "bob") == before
    assert await has_account(server, "bob", password="kites and lamps")
