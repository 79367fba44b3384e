"""A real client without support for invites.
Its user types what the client shows, and a friend joins by the link."""

from datetime import datetime, timedelta

import pytest

from harness.profanity import Profanity
from harness.stories import Invite, has_account, register, show
from harness.xmpp import StanzaError

ADDRESSES = ["example.org", "invite.example.org"]


@pytest.fixture
def server(make_server):
    return make_server(tls=True)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_new_invite(server, tmp_path, address):
    with Profanity(server, tmp_path) as profanity:
        await profanity.log_in("alice")
        profanity.type(f"/cmd list {address}")
        node = (await profanity.read(r"urn:xmpp:invite#invite\b")).group()
        profanity.type(f"/cmd exec {node} {address}")
        link = (await profanity.read(r"Link for XMPP apps: (xmpp:\S+)")).group(1)
        await profanity.read(r"Valid until \d+ \w+ \d{4}, .*: \d{4}-\d\d-\d\dT")

        await register(server, "carol", Invite(link))
        profanity.type("/win 1")
        await profanity.read("carol")  # in the list of contacts
        profanity.type(f"/msg {server.component}")
        await profanity.read("carol@example.org has joined with your invitation")
    assert show(server, Invite(link))["inviter"] == "alice@example.org"


@pytest.mark.one_setup
@pytest.mark.parametrize("address", ADDRESSES)
async def test_the_whole_account_form(server, tmp_path, address):
    with Profanity(server, tmp_path) as profanity:
        await profanity.log_in("admin")
        profanity.type(f"/cmd list {address}")
        node = (await profanity.read(r"urn:xmpp:invite#create-account\b")).group()
        profanity.type(f"/cmd exec {node} {address}")
        await profanity.read("Form title: New Account Invite")
        for label, answer, shown in [
            ("Username", "Bob", "Bob"),
            ("Become contacts at once", "on", "TRUE"),
            ("Valid for", "4w", r"(?s:.*)\[4w\] 4 weeks"),
            ("Note", "typed by hand", "typed by hand"),
        ]:
            await fill_in(profanity, label, answer, shown)

        profanity.type("/form submit")
        # The problem stands last: profanity numbers the fields.
        await profanity.read(r"\[field1\] Username .*: Bob(?s:.*)\[field5\] Note for yourself: typed by hand"
                             r"(?s:.*)Please correct “Username”: The requested username already exists")
        await fill_in(profanity, "Username", "Carol", "Carol")  # the other answers are still there
        profanity.type("/form submit")
        link = (await profanity.read(r"Link for XMPP apps: (xmpp:\S+)")).group(1)

    invite = Invite(link)
    assert link == f"xmpp:carol@example.org?register;preauth={invite.token}"
    made = show(server, invite)
    assert (made["type"], made["username"], made["note"]) == ("account-and-contact", "carol", "typed by hand")
    assert lifetime(made) == timedelta(weeks=4)
    with pytest.raises(StanzaError, match="The chosen username is not valid with this invitation"):
        await register(server, "dave", invite)
    await register(server, "carol", invite)
    assert await has_account(server, "carol")


@pytest.mark.one_setup
async def test_a_password_reset_warns_of_itself(server, tmp_path):
    with Profanity(server, tmp_path) as profanity:
        await profanity.log_in("admin")
        profanity.type("/cmd exec xmpp:prosody.im/mod_invites_adhoc#password-reset example.org")
        await fill_in(profanity, "Address of the account", "bob", "bob")
        profanity.type("/form submit")
        await profanity.read(r"Form title: Password Reset Link(?s:.*)Whoever has this link can set a new password for "
                             r"bob@example\.org(?s:.*)Good for one use, until")
        await profanity.read(r"Link to send, only to bob@example\.org: https:\S+")


@pytest.mark.one_setup
async def test_a_user_without_permission_is_told(server, tmp_path):
    with Profanity(server, tmp_path) as profanity:
        await profanity.log_in("alice")
        profanity.type("/cmd exec urn:xmpp:invite#create-account example.org")
        await profanity.read("You do not have permission to run this command")


def lifetime(invite):
    return datetime.fromisoformat(invite["expires_at"]) - datetime.fromisoformat(invite["created_at"])


async def fill_in(profanity, label, answer, shown):
    """Types the answer to the field with this label, and waits until it is shown."""
    field = (await profanity.read(rf"\[(field\d+)\] {label}")).group(1)
    profanity.type(f'/{field} "{answer}"')
    await profanity.read(rf"Field updated\.\.\.\n.*\[{field}\] {label}.*:\s*{shown}")
