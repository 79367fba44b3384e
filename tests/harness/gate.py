"""The gate's other end: a daemon that the test plays itself, for what the real one asks the hook."""

from collections.abc import Iterable
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

from .prosody import COMPONENT_SECRET
from .server import Server
from .xmpp import PING, Component, child, local_name

GATE = "urn:easy-invite:gate:1"

# When every use was reserved, as far as the hook is told: before the accounts of these tests were made.
RESERVED_AT = "2020-01-01T00:00:00Z"


def is_ping(stanza: Element) -> bool:
    """Whether a stanza wants to know only whether somebody is there (XEP-0199)."""
    return any(element.tag == f"{{{PING}}}ping" for element in stanza)


class PlayedDaemon:
    """What speaks to the hook of a server's first VirtualHost in the daemon's place. It answers pings."""

    def __init__(self, server: Server, stream: Component, server_id: str):
        """`connect` makes it."""
        self.stream = stream
        self.server_id = server_id
        self._server = server

    @classmethod
    async def connect(cls, server: Server) -> "PlayedDaemon":
        """Logs in as the component and says hello."""
        stream = await Component.connect("127.0.0.1", server.prosody.component_port, server.component, COMPONENT_SECRET)
        hello = await stream.ask("get", f"<hello xmlns='{GATE}'/>", server.domain)
        stream.on_request = lambda request: stream.reply(request) if is_ping(request) else None
        return cls(server, stream, child(hello, "hello").get("server"))

    async def create(self, reservation: str, username: str, password: str, *, roles: Iterable[str] = (),
                     groups: Iterable[str] = (), **attributes: str) -> str:
        """Has an account made, or with `purpose="reset"` its password set. Returns the answer in short: "created", "created,
        not settled" or "in-flight"; raises StanzaError."""
        attributes = {"reservation": reservation, "username": username, "purpose": "register", "server": self.server_id,
                      "reserved_at": RESERVED_AT, **attributes}
        content = "".join([*(f"<role>{escape(role)}</role>" for role in roles),
                           *(f"<group>{escape(group)}</group>" for group in groups),
                           f"<password>{escape(password)}</password>"])
        answer = await self._ask("create", attributes, content)
        if local_name(answer) == "created":
            return "created, not settled" if answer.get("settled") == "false" else "created"
        assert local_name(answer) == "fate", answer.tag
        return answer.get("is")

    async def settle(self, reservation: str, username: str, **attributes: str) -> str:
        """What became of a reservation that registers; raises StanzaError."""
        account = f"{username}@{self._server.domain}"
        attributes = {"reservation": reservation, "account": account, "purpose": "register", "server": self.server_id,
                      "reserved_at": RESERVED_AT, **attributes}
        return (await self._ask("settle", attributes)).get("is")

    async def account(self, username: str) -> Element:
        """What the hook knows of an account."""
        return await self._ask("account", {"username": username}, type="get")

    async def account_exists(self, username: str) -> bool:
        """Whether there is such an account, as the hook says."""
        return (await self.account(username)).get("exists") == "true"

    async def _ask(self, name: str, attributes: dict[str, str], content: str = "", type: str = "set") -> Element:
        written = "".join(f" {key.replace('_', '-')}={quoteattr(value)}" for key, value in attributes.items())
        reply = await self.stream.ask(type, f"<{name} xmlns='{GATE}'{written}>{content}</{name}>", self._server.domain)
        return reply[0]
