"""A server that still has Prosody's own modules for invites, and links that people were sent.

`old_server` has them all: those of Prosody itself, and those of Debian's package prosody-modules.
`send_links` makes an invite of every kind, each by the command that people have for it. Some are
used, some are over, some are withdrawn. `switch` changes the modules, as README's "Moving over"
tells operators.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from .clients import Conversations
from .debian import debian_13
from .prosody import INVITE_HOST, USUAL_MODULES, lua
from .server import Server, password_of
from .stories import CREATE_ACCOUNT, PASSWORD_RESET, Invite, fill_in, new_invite
from .xmpp import Client, bare, form_in, form_values

OWN_MODULES = ("invites", "invites_adhoc", "invites_register", "invites_api", "invites_page", "invites_tracking")
OTHER_HOST = "other.example"
# Its file has escapes in its name.
FOREIGN_NAME = "zoë.q"
WEEK = 7 * 24 * 3600


@dataclass(frozen=True)
class Sent(Invite):
    """A link that was sent."""

    host: str = "example.org"
    state: str = "pending"
    """What has become of it: "pending", "expired", "used" or "withdrawn"."""
    shown: Mapping[str, object] = field(default_factory=dict)
    """What `easy-invite show` tells of it after the import, besides its state."""


def own_modules(version: str) -> tuple[str, ...]:
    """The modules for invites that this version can have. Debian 12
    lacks what its `invites_register_web` needs."""
    return (*OWN_MODULES, "invites_register_web") if version == "13" else OWN_MODULES


def old_server(version: str, folder: Path, **options: object) -> Server:
    """A server with Prosody's own invites. Its daemon does not run yet.
    It takes `Server`'s options."""
    modules = folder / "modules"
    modules.mkdir(parents=True)
    # Debian 12 has no package with this one. It is the same file for both versions.
    (modules / "mod_invites_tracking").symlink_to(debian_13() / "usr/lib/prosody/modules/mod_invites_tracking")
    hosts = {host: "    allow_registration = true\n    allow_user_invites = true\n"
                   f"    http_external_url = {lua(f'https://{host}/')}\n" for host in ("example.org", OTHER_HOST)}
    return Server(version, folder, **{
        "run_daemon": False, "http": True, "modules": [*USUAL_MODULES, *own_modules(version)],
        "hosts": hosts, "plugin_folders": [modules], **options})


def import_arguments(server: Server) -> list[str]:
    """The command that imports all of a server's Prosody."""
    storage, data = server.prosody.storage, server.prosody.data_folder
    if storage == "internal":
        return ["import", "prosody", "--data", str(data)]
    return ["import", "prosody", "--sql", f"sqlite:{data / 'prosody.sqlite'}" if storage == "sql" else storage]


def import_links(server: Server) -> str:
    """The operator imports all of a server's Prosody. Returns what the command says."""
    done = server.daemon.cli(*import_arguments(server))
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def switch(server: Server) -> str:
    """Stops Prosody, imports what has come since the last import, and starts Prosody with
    mod_easy_invite, and the daemon. Returns what the import says."""
    server.prosody.stop()
    said = import_links(server)
    server.prosody.modules = list(USUAL_MODULES)
    server.prosody.hosts["example.org"] = INVITE_HOST.replace("{ ", '{ "groups_internal", ')
    server.prosody.start()
    server.daemon.start()
    return said


def call(server: Server, function: str, *arguments: object, host: str = "example.org") -> str:
    """Calls a function of mod_invites, as other modules do, and returns the new invite's URI."""
    written = ", ".join(in_lua(argument) for argument in arguments)
    output = server.prosody.shell(f"> prosody.hosts[{lua(host)}].modules.invites.{function}({written}).uri")
    return re.search(r"xmpp:\S+", output)[0]


def in_lua(value: object) -> str:
    """A value in Lua's notation, with tables of named values."""
    if value is None:
        return "nil"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"[{lua(key)}] = {in_lua(of)}" for key, of in value.items()) + " }"
    return lua(value)


def shell(server: Server, command: str, jid: str, *options: str) -> str:
    """An operator runs a command of the shell's section `invite`. Returns the token. 0.12 knows no
    options."""
    if server.prosody.version == "13":
        code, output, errors = server.prosody.prosodyctl("shell", "invite", command, jid, *options)
        assert code == 0, output + errors
    else:
        output = server.prosody.shell(f"invite:{command}({lua(jid)})")
    return token_in(output)


def token_in(text: str) -> str:
    """The token in an address that a command has printed."""
    return re.search(r"[?=]([\w-]{24})(?![\w-])", text)[1]


async def send_links(server: Server, *, seconds: int = WEEK) -> dict[str, Sent]:
    """Makes an invite of every kind, each with a name. `seconds` is the
    life of those that can be given one."""
    new = server.prosody.version == "13"
    sent: dict[str, Sent] = {}

    def keep(name: str, uri: str, type: str, *, state: str = "pending", **shown: object) -> Sent:
        nothing = {"username": None, "inviter": None, "roles": [], "groups": [], "note": None, "max_uses": 1}
        sent[name] = Sent(uri, "example.org", state, {**nothing, "type": type, **shown})
        return sent[name]

    def to_register(token: str, username: str | None = None) -> str:
        return f"xmpp:{username + '@' if username else ''}example.org?register;preauth={token}"

    for username in (FOREIGN_NAME, "gone"):
        server.prosody.shell(f"user:create({lua(f'{username}@example.org')}, {lua(password_of(username))})")
    alice, admin = await server.login("alice"), await server.login("admin")
    bob, zoe, gone = await server.login("bob"), await server.login(FOREIGN_NAME), await server.login("gone")

    # By users, with the button of their app.
    async def of_user(name: str, user: Client, *, type: str = "account-and-contact", state: str = "pending") -> Sent:
        return keep(name, (await new_invite(user)).uri, type, state=state, inviter=bare(user.jid))

    await of_user("friend", alice)
    await of_user("friend of a foreign name", zoe)
    await of_user("friend of somebody who is gone", gone)
    used_friend = await of_user("used by a friend", alice, state="used")
    used_contact = await of_user("used by a contact", alice, state="used")
    half_deleted = await of_user("withdrawn for new accounts", alice, type="contact")

    # By admins, with the commands of their app.
    made = form_values(form_in(await admin.execute("example.org", CREATE_ACCOUNT)))
    keep("anybody", made["uri"], "account", inviter="admin@example.org")
    if new:
        made = await fill_in(admin, PASSWORD_RESET, {"accountjid": "bob@example.org"})
        keep("reset by an admin", made.uri, "password-reset", username="bob")

    # By the operator.
    keep("pinned", to_register(shell(server, "create_account", "carol@example.org"), "carol"), "account",
         username="carol")
    contact = shell(server, "create_contact", "bob@example.org")
    keep("contact", f"xmpp:bob@example.org?roster;preauth={contact}", "contact", inviter="bob@example.org")
    if new:
        life = f"{seconds // 3600}h"
        member = shell(server, "create_account", "example.org", "--role", "prosody:member", "--role", "prosody:guest",
                       "--expires-after", life)
        keep("roles", to_register(member), "account", roles=["prosody:member", "prosody:guest"])
        operator = shell(server, "create_account", "example.org", "--role", "prosody:admin")
        keep("admin", to_register(operator), "account", roles=["prosody:admin"])
        reset = shell(server, "create_reset", "alice@example.org", "--expires-after", life)
        keep("reset", to_register(reset, "alice"), "password-reset", username="alice")
    else:
        def generate(*options: str) -> str:
            code, output, errors = server.prosody.prosodyctl("mod_invites", "generate", "example.org", *options)
            assert code == 0, output + errors
            return to_register(token_in(output))

        keep("admin", generate("--admin"), "account", roles=["prosody:admin"])
        keep("roles", generate("--role", "prosody:member", "--group", "family", "--group", "staff"), "account",
             roles=["prosody:member"], groups=["family", "staff"])
        keep("reset by prosodyctl", generate("--reset", "bob").replace("xmpp:", "xmpp:bob@"), "password-reset",
             username="bob")
        keep("reset", call(server, "create_account_reset", "alice", seconds), "password-reset", username="alice")

    # By other modules, such as the HTTP API of Snikket's portal.
    group = {"note": "class 5b, “Ü”", "source": "admin_api/admin"}
    keep("group", call(server, "create_group", ["family", "staff"], group, seconds), "account",
         groups=["family", "staff"], note=group["note"], max_uses=None)
    keep("long", call(server, "create_account", None, {"note": "a long one"}, 10 * 365 * 24 * 3600), "account",
         note="a long one")
    keep("expired", call(server, "create_account", None, {"note": "too late"}, -60), "account", note="too late",
         state="expired")
    keep("expired contact", call(server, "create_contact", "bob", False, None, -60), "contact",
         inviter="bob@example.org", state="expired")
    keep("by the API", to_register(by_the_api(server)), "account")
    elsewhere = call(server, "create_account", "dora", host=OTHER_HOST)
    sent["elsewhere"] = Sent(elsewhere, OTHER_HOST)

    # Some are used, some are withdrawn, and one user leaves.
    await Conversations(server).join(used_friend.uri, "friend", password_of("friend"))
    bob.subscribe("alice@example.org", used_contact.token)
    await alice.roster_push("bob@example.org", "from")
    for username in ("member-1", "member-2"):
        await Conversations(server).redeem(sent["group"].uri, username, password_of(username))
    used = keep("used", call(server, "create_account", None, {"source": "api/token/portal"}), "account",
                state="used")
    await (on_the_page if new else in_a_client)(server, used, "visitor")
    used = keep("used reset", call(server, "create_account_reset", "admin"), "password-reset", username="admin",
                state="used")
    await in_a_client(server, used, "admin")
    withdraw(server, half_deleted)
    withdraw(server, keep("withdrawn", call(server, "create_account", None), "account", state="withdrawn"))
    server.prosody.deluser("gone@example.org")
    for stream in (alice, admin, bob, zoe):
        await stream.close()
    return sent


def by_the_api(server: Server) -> str:
    """Another program asks mod_invites_api for an invite. Returns the token."""
    _, key, _ = server.prosody.prosodyctl("mod_invites_api", "create", "example.org", "portal")
    asked = ask(server, f"/invites_api?{urlencode({'key': key.strip()})}")
    return token_in(asked.headers["Location"])


async def in_a_client(server: Server, invite: Invite, username: str) -> None:
    """Somebody uses an invite in an app."""
    await Conversations(server).redeem(invite.uri, username, password_of(username))


async def on_the_page(server: Server, invite: Invite, username: str) -> None:
    """Somebody uses an invite on the page of mod_invites_register_web."""
    form = {"user": username, "password": "kites and lamps", "token": invite.token}
    answer = ask(server, "/register", urlencode(form).encode()).read().decode()
    assert f"{username}@example.org" in answer, answer


def ask(server: Server, path: str, form: bytes | None = None):
    """Asks Prosody's own web server."""
    return urlopen(Request(f"http://127.0.0.1:{server.prosody.http_port}{path}", form, {"Host": "example.org"}))


def withdraw(server: Server, invite: Invite) -> None:
    """The operator deletes an invite. Prosody deletes only the
    half that makes accounts. 0.12 has no command."""
    if server.prosody.version == "13":
        code, output, errors = server.prosody.prosodyctl("shell", "invite", "delete", "example.org", invite.token)
        assert code == 0, output + errors
    else:
        server.prosody.shell(f'> prosody.hosts["example.org"].modules.invites.delete_account_invite("{invite.token}")')
