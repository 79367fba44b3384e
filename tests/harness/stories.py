"""Steps that many scenarios share, a line each:
making an invite, registering, and looking at the result."""

import asyncio
import inspect
import itertools
import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .process import PATIENCE
from .server import Server, password_of
from .xmpp import AuthenticationError, Client, StanzaError, StreamClosed, child, form_in, form_values, local_name

NEW_INVITE = "urn:xmpp:invite#invite"
CREATE_ACCOUNT = "urn:xmpp:invite#create-account"
PASSWORD_RESET = "xmpp:prosody.im/mod_invites_adhoc#password-reset"
INVITE_WITH_OPTIONS = "urn:easy-invite:command:invite"
MY_INVITES = "urn:easy-invite:command:my-invites"
INVITES_OF = "urn:easy-invite:command:invites-of"

TRIES = 5  # see `conclusive`

_ids = itertools.count(1)


@dataclass(frozen=True)
class Invite:
    """A new invite, as its inviter has it."""

    uri: str

    @property
    def token(self) -> str:
        """The secret in its link."""
        return self.uri.partition("preauth=")[2].partition(";")[0]


async def new_invite(user: Client, to: str | None = None) -> Invite:
    """A user runs New Invite on their server, or at another address. Raises StanzaError."""
    return Invite(form_values(form_in(await user.execute(to or user.domain, NEW_INVITE)))["uri"])


async def new_account_invite(admin: Client, answers: Mapping[str, str], to: str | None = None) -> Invite:
    """An admin runs New Account Invite and fills in its form. Raises StanzaError."""
    return await fill_in(admin, CREATE_ACCOUNT, answers, to)


async def reset_link(admin: Client, account: str, to: str | None = None) -> Invite:
    """An admin runs Password Reset Link for an account. Raises StanzaError."""
    return await fill_in(admin, PASSWORD_RESET, {"accountjid": account}, to)


async def fill_in(user: Client, node: str, answers: Mapping[str, str], to: str | None = None) -> Invite:
    """A user runs a command that shows one form and then makes an invite. Raises StanzaError."""
    address = to or user.domain
    shown = await user.execute(address, node)
    assert (shown.get("status"), form_in(shown).get("type")) == ("executing", "form")
    done = await user.execute(address, node, action="complete", session=shown.get("sessionid"), form=answers)
    form = form_in(done)
    assert form is not None, "".join(done.itertext())  # a note says why not
    assert (done.get("status"), form.get("type")) == ("completed", "result"), form_values(form)
    return Invite(form_values(form_in(done))["uri"])


async def write(user: Client, body: str, more: str = "", *, to: str = "invite.example.org") -> str:
    """A user writes to the service in a chat, with more than a body if need be. Returns the answer."""
    user.send(f"<message type='chat' to='{to}' id='{next(_ids)}'><body>{escape(body)}</body>{more}</message>")
    answer = await user.expect_stanza("message", sender="invite.example.org")
    return child(answer, "body").text


def links_in(text: str) -> list[str]:
    """The links that stand in a line of their own."""
    return re.findall(r"(?m)^(?:https|xmpp):\S+$", text)


def generate(server: Server, *arguments: str, host: str | None = None) -> Invite:
    """The operator runs `easy-invite generate` for the server's first host, or for another."""
    made = server.daemon.cli("--json", "generate", host or server.domain, *arguments)
    assert made.returncode == 0, made.stderr
    return Invite(json.loads(made.stdout)["uri"])


def show(server: Server, invite: Invite) -> dict:
    """The operator runs `easy-invite show`."""
    shown = server.daemon.cli("--json", "show", invite.uri)
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)


def revoke(server: Server, invite: Invite) -> None:
    """The operator runs `easy-invite revoke`."""
    revoked = server.daemon.cli("revoke", invite.uri)
    assert revoked.returncode == 0, revoked.stderr


def regenerate(server: Server, invite: Invite) -> Invite:
    """The operator runs `easy-invite regenerate`, and has a new link."""
    made = server.daemon.cli("--json", "regenerate", invite.uri)
    assert made.returncode == 0, made.stderr
    return Invite(json.loads(made.stdout)["uri"])


async def register(server: Server, username: str, invite: Invite | None = None, *, password: str | None = None,
                   domain: str | None = None, source: str | None = None) -> None:
    """Registers on its own stream, with or without an invite. Raises StanzaError."""
    async with await server.connect(domain, source=source) as stream:
        if invite is not None:
            await stream.preauth(invite.token)
        await stream.registration_set(username, password_of(username) if password is None else password)


async def registers(server: Server, username: str, invite: Invite | None) -> bool:
    """Whether the server confirms a registration, which may meet a refusal or a lost connection."""
    try:
        await register(server, username, invite)
    except (StanzaError, StreamClosed, ConnectionError):
        return False
    return True


async def has_account(server: Server, username: str, *, password: str | None = None,
                      domain: str | None = None) -> bool:
    """Whether a user can log in, by default with the password that `register` sets."""
    try:
        async with await server.login(username, password, domain=domain, presence=False):
            return True
    except AuthenticationError:
        return False


async def requests_to(server: Server, username: str) -> set[str]:
    """The addresses that ask to be a user's contact, as clients see them when they log in."""
    async with await server.login(username) as stream:
        await stream.roster()  # its answer comes after everything that the initial presence brings
        return {stanza.get("from") for stanza in stream.inbox
                if local_name(stanza) == "presence" and stanza.get("type") == "subscribe"}


def leave_open(server: Server, invite: Invite, account: str, *, purpose: str = "register", by: str | None = None,
               reservation: str = "left-open", seconds_ago: int = 30) -> None:
    """Changes the store as a crash does between reserving and redeeming a use.

    `by` is the id of the chat server that made the reservation. Default: this one's."""
    id, now = show(server, invite)["id"], int(time.time())
    in_store(server, "UPDATE invite SET taken = taken + 1 WHERE id = ?", id)
    in_store(server, "INSERT INTO invite_use (id, invite, purpose, account, server, reserved_at) "
             "VALUES (?, ?, ?, ?, ?, ?)",
             reservation, id, purpose, account, by or id_of_server(server), now - seconds_ago)


def id_of_server(server: Server) -> str:
    """The id that the hook of the server's first VirtualHost keeps in a file."""
    folder = server.prosody.data_folder / server.domain.replace(".", "%2e")
    return re.search(r'\["id"\] = "([^"]+)"', (folder / "easy_invite_server.dat").read_text())[1]


def uses_taken(server: Server, invite: Invite) -> int:
    """How many uses of an invite are reserved or redeemed."""
    return in_store(server, "SELECT taken FROM invite WHERE id = ?", show(server, invite)["id"])[0][0]


def in_store(server: Server, statement: str, *values: object) -> list[tuple]:
    """Runs a statement on the server's store, without the
    daemon, and returns the rows, if there are any."""
    url = server.daemon.config["store"]["url"]
    if url.startswith("sqlite:"):
        with sqlite3.connect(server.daemon.folder / url.removeprefix("sqlite:")) as store:
            return store.execute(statement, values).fetchall()
    import psycopg  # here, because the demo, with SQLite, runs without it
    with psycopg.connect(url, target_session_attrs="primary") as store:  # of a pair, too
        done = store.execute(statement.replace("?", "%s"), values)
        return done.fetchall() if done.description else []


def events(server: Server, *arguments: str, stdin: str = "") -> list[dict]:
    """The operator runs `easy-invite log`."""
    told = server.daemon.cli("--json", "log", *arguments, input=stdin)
    assert told.returncode == 0, told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


def differences(server: Server) -> list[str]:
    """What the log of events tells differently from the invites in the store: each has been made
    once, was used as often as it is counted, and has ended once if it has ended. One that was
    withdrawn is there no more, and nothing else has come of it."""
    listed = server.daemon.cli("--json", "list", "--state", "all", "--limit", "1000000")
    invites = [json.loads(line) for line in listed.stdout.splitlines()]
    ended = {"stopped": "revoked"}
    log = [event for event in events(server) if event["invite"]]
    told = Counter((ended.get(event["action"], event["action"]), event["invite"]) for event in log)
    there = Counter({("made", invite["id"]): 1 for invite in invites})
    withdrawn = {event["invite"] for event in log if event["action"] == "withdrawn"}
    there.update((action, id) for id in withdrawn - {invite["id"] for invite in invites}
                 for action in ("made", "withdrawn"))
    there.update({("redeemed", invite["id"]): invite["uses"] for invite in invites if invite["uses"]})
    there.update({("revoked", invite["id"]): 1 for invite in invites if invite["revoked_at"]})
    return [f"{which}: {told[which]} in the log of events, {there[which]} in the store"
            for which in told.keys() | there.keys() if told[which] != there[which]]


async def used(server: Server, invite: Invite, times: int = 1) -> None:
    """Waits until an invite has been used this often, and not more often. A use is counted a moment
    after its account is created."""
    await eventually(lambda: show(server, invite)["uses"] >= times, f"the invite has been used {times} times")
    assert show(server, invite)["uses"] == times


async def eventually(reached: Callable[[], bool | Awaitable[bool]], what: str, seconds: float = PATIENCE) -> None:
    """Waits until a condition holds, by checking it again and again, and less often after a while:
    each look may take a process."""
    began = time.monotonic()
    while True:
        result = reached()
        if inspect.isawaitable(result):
            result = await result
        if result:
            return
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"after {seconds} seconds still not: {what}")
        await asyncio.sleep(max(0.05, waited / 20))


async def conclusive(attempt: Callable[[], Awaitable[bool]], what: str) -> None:
    """Runs an attempt that can tell nothing if the machine stands still at the wrong moment, and then
    returns False. Runs it again then, and fails if no attempt tells anything."""
    for _ in range(TRIES):
        if await attempt():
            return
    raise AssertionError(f"in none of {TRIES} attempts: {what}")


async def served_before(ended: Iterable[asyncio.Task], ask: Callable[[], Awaitable[object]]) -> int:
    """How many requests are answered, one after the other, before the first of the tasks ends."""
    served = 0
    while not any(task.done() for task in ended):
        await ask()
        served += not any(task.done() for task in ended)
    return served


@contextmanager
def held(server: Server, when: str = "after") -> Iterator[None]:
    """Holds registrations back within `with`, "before" or "after" the daemon is asked to reserve a use.
    The server needs the module held_registrations."""
    hold = server.prosody.data_folder / "hold"
    hold.write_text(when)
    try:
        yield
    finally:
        hold.unlink()


def accounts_on_disk(server: Server) -> dict[str, bytes]:
    """Everything that Prosody keeps in files for each user of the server's first VirtualHost."""
    folder = server.prosody.data_folder / server.domain.replace(".", "%2e")
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.glob("*/*.dat") if file.is_file()}
