"""The daemon's side of the gate, played by a test that asks the hook itself."""

from collections.abc import Iterable
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

from .prosody import COMPONENT_SECRET
from .server import Server
from .xmpp import PING, Component, child, local_name

GATE = "urn:easy-invite:gate:1"


async def component(server: Server, jid: str | None = None) -> Component:
    """A stream of one of the server's components, by default the daemon's."""
    port = server.prosody.component_port
    return await Component.connect("127.0.0.1", port, jid or server.component, COMPONENT_SECRET)


def is_ping(stanza: Element) -> bool:
    """Whether a stanza is a ping (XEP-0199)."""
    return any(element.tag == f"{{{PING}}}ping" for element in stanza)


class PlayedDaemon:
    """A test in the daemon's place, which talks to the hook of the server's first VirtualHost.
    It answers pings."""

    def __init__(self, server: Server, stream: Component, server_id: str):
        """See `connect`."""
        self.stream = stream
        self.server_id = server_id
        self._server = server

    @classmethod
    async def connect(cls, server: Server) -> "PlayedDaemon":
        """Logs in as the component and says hello."""
        stream = await component(server)
        hello = await stream.ask("get", f"<hello xmlns='{GATE}'/>", server.domain)
        stream.on_request = lambda request: stream.reply(request) if is_ping(request) else None
        return cls(server, stream, child(hello, "hello").get("server"))

    async def create(self, reservation: str, username: str, password: str, *, roles: Iterable[str] = (),
                     groups: Iterable[str] = (), **attributes: str) -> str:
        """Asks for an account, or with `purpose="reset"` for a new password.

        Returns what the hook calls its fate: "made", "unfinished", "in-flight" or "elsewhere".
        Raises StanzaError.
        """
        attributes = {"reservation": reservation, "username": username, "purpose": "register", "server": self.server_id,
                      **attributes}
        content = _granted(roles, groups) + f"<password>{escape(password)}</password>"
        return _fate(await self._ask("create", attributes, content))

    async def settle(self, reservation: str, username: str, *, roles: Iterable[str] = (), groups: Iterable[str] = (),
                     **attributes: str) -> str:
        """The fate of a reservation for an account, "(doubtful)" where it is so. Raises StanzaError."""
        attributes = {"reservation": reservation, "username": username, "purpose": "register", "server": self.server_id,
                      **attributes}
        return _fate(await self._ask("settle", attributes, _granted(roles, groups)))

    async def account(self, username: str) -> Element:
        """What the hook knows of an account."""
        return await self._ask("account", {"username": username}, type="get")

    async def account_exists(self, username: str) -> bool:
        """Whether the hook says that there is such an account."""
        return (await self.account(username)).get("exists") == "true"

    async def _ask(self, name: str, attributes: dict[str, str], content: str = "", type: str = "set") -> Element:
        written = "".join(f" {key.replace('_', '-')}={quoteattr(value)}" for key, value in attributes.items())
        reply = await self.stream.ask(type, f"<{name} xmlns='{GATE}'{written}>{content}</{name}>", self._server.domain)
        return reply[0]


def _granted(roles: Iterable[str], groups: Iterable[str]) -> str:
    return "".join([*(f"<role>{escape(role)}</role>" for role in roles),
                    *(f"<group>{escape(group)}</group>" for group in groups)])


def _fate(answer: Element) -> str:
    assert local_name(answer) == "fate", answer.tag
    return answer.get("is") + (" (doubtful)" if answer.get("doubtful") == "true" else "")
