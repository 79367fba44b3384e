"""Users who make invites and guests who register, while a test disturbs the server. In the end,
everything that they were told must hold."""

import asyncio
import itertools
import time
from dataclasses import dataclass, field

from .process import PATIENCE
from .server import Server
from .stories import Invite, eventually, has_account, in_store, new_invite, register, show
from .web import text
from .xmpp import PING, StanzaError

INVITERS = ("alice", "bob")
EVERY = 0.4  # seconds between two invites of one user
TEMPORARY = (*(text(failure, table="failure") for failure in ("store", "unreachable", "late", "unable")),
             "Invitations cannot be checked at the moment. Please try again later.")
IN_PROGRESS = "This invitation is being used right now. Please try again in a minute"
USED_UP = ("item-not-found", "not-acceptable")


@dataclass
class Link:
    """An invite that was confirmed to a user, and two guests who both want its one use."""

    invite: Invite
    inviter: str
    guests: tuple[str, str]
    accounts: list[str] = field(default_factory=list)
    """The guests who were told of success."""


class Crowd:
    """Users of one server who make invites one after the other, and two guests for each invite.

    An asynchronous context manager: they go on within `async with`, and its end waits until
    everybody has a final answer. An unexpected refusal fails the crowd, and so does a Prosody that
    does not answer an uninvolved user's ping.
    """

    def __init__(self, server: Server, name: str = "guest", to: str | None = None, *, rivals: Server | None = None):
        """A crowd for a running server. Guests' names begin with `name`.
        Commands go to the address `to`, or to the host. The second guest of each link registers
        with the server `rivals`, or with the same."""
        self.server = server
        self.servers = (server, rivals or server)
        """Where the guests of a link register."""
        self.links: list[Link] = []
        self.refusals = 0
        """How many requests were refused as temporary."""
        self._name = name
        self._to = to
        self._numbers = itertools.count(1)
        self._closing = asyncio.Event()
        self._guests: list[asyncio.Task] = []
        self._others: list[asyncio.Task] = []

    async def __aenter__(self) -> "Crowd":
        streams = [await self.server.login(username, resource=self._name) for username in (*INVITERS, "admin")]
        for username, stream in zip(INVITERS, streams):
            self._others.append(asyncio.create_task(self._invite(username, stream)))
        self._others.append(asyncio.create_task(self._ping(streams[-1])))
        await self.more(2)
        return self

    async def __aexit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is None:
            await self.more(2)
        self._closing.set()
        await asyncio.gather(*self._others)
        await asyncio.gather(*self._guests)

    async def more(self, count: int, seconds: float = 2 * PATIENCE) -> None:
        """Waits until this many more links have made their account."""
        made = sum(bool(link.accounts) for link in self.links)
        reached = made + count
        deadline = time.monotonic() + seconds
        while sum(bool(link.accounts) for link in self.links) < reached:
            for task in (*self._others, *self._guests):
                if task.done():
                    task.result()  # raises its failure
            assert time.monotonic() < deadline, f"fewer than {count} accounts in {seconds} seconds"
            await asyncio.sleep(0.05)

    async def count(self) -> None:
        """Checks that every confirmed link exists and has made one account, which is counted once
        and has its contact. Every guest whose registration was confirmed must have an account."""
        used = "SELECT uses, taken FROM invite WHERE taken > 0"
        await eventually(lambda: in_store(self.server, used) == [(1, 1)] * len(self.links), "every use is counted once",
                         seconds=30)
        contacts = {}
        for inviter in INVITERS:
            async with await self.server.login(inviter) as stream:
                contacts[inviter] = await stream.roster()
        for link in self.links:
            assert show(self.server, link.invite)["uses"] == 1
            made = [guest for guest in link.guests if await has_account(self.server, guest)]
            assert len(made) == 1 and set(link.accounts) <= set(made), (link, made)
            async with await self.server.login(made[0]) as stream:
                theirs = (await stream.roster()).get(f"{link.inviter}@{self.server.domain}")
            for item in (theirs, contacts[link.inviter].get(f"{made[0]}@{self.server.domain}")):
                assert item is not None and item.subscription == "both", (link, item)

    async def _invite(self, username: str, stream) -> None:
        while not self._closing.is_set():
            try:
                invite = await new_invite(stream, self._to)
            except StanzaError as refusal:
                self._expected(refusal)
            else:
                number = next(self._numbers)
                link = Link(invite, username, (f"{self._name}-{number}-a", f"{self._name}-{number}-b"))
                self.links.append(link)
                self._guests += [asyncio.create_task(self._register(server, link, guest))
                                 for server, guest in zip(self.servers, link.guests)]
            await asyncio.sleep(EVERY)

    async def _register(self, server: Server, link: Link, guest: str) -> None:
        give_up = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < give_up:
            try:
                await register(server, guest, link.invite)
                link.accounts.append(guest)
                return
            except StanzaError as refusal:
                if refusal.condition in USED_UP:
                    return
                self._expected(refusal)
            await asyncio.sleep(EVERY)
        raise AssertionError(f"{guest} never got a final answer")

    async def _ping(self, stream) -> None:
        while not self._closing.is_set():
            await stream.ask("get", f"<ping xmlns='{PING}'/>", self.server.domain)
            await asyncio.sleep(0.05)

    def _expected(self, refusal: StanzaError) -> None:
        temporary = (refusal.type, refusal.condition) == ("wait", "resource-constraint")
        assert temporary and refusal.text in (*TEMPORARY, IN_PROGRESS), str(refusal)
        self.refusals += refusal.text in TEMPORARY
