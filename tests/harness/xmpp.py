"""Raw XMPP streams, for tests that care about the wire: a client's (RFC 6120) and a component's
(XEP-0114).

Stanzas are sent as XML text or as an Element. Received stanzas are ElementTree elements, with names
such as `{jabber:client}message`. They wait in `inbox` until `expect` takes them, except the replies
that `send_iq` awaits. A request is also passed to `on_request`, which may answer it. Every wait has
a limit, and its failure says what was awaited and what came instead.
"""

import asyncio
import base64
import hashlib
import itertools
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

from .process import PATIENCE

ADHOC = "http://jabber.org/protocol/commands"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
CLIENT = "jabber:client"
COMPONENT = "jabber:component:accept"
DATA_FORM = "jabber:x:data"
DISCO_INFO = "http://jabber.org/protocol/disco#info"
DISCO_ITEMS = "http://jabber.org/protocol/disco#items"
PARS = "urn:xmpp:pars:0"
PING = "urn:xmpp:ping"
REGISTER = "jabber:iq:register"
ROSTER = "jabber:iq:roster"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
STREAM = "http://etherx.jabber.org/streams"
TLS = "urn:ietf:params:xml:ns:xmpp-tls"
XML = "http://www.w3.org/XML/1998/namespace"

REGISTER_FEATURE = "{http://jabber.org/features/iq-register}register"
INVITE_FEATURE = "{urn:xmpp:invite}register"
TOKEN_FEATURE = "{urn:xmpp:ibr-token:0}register"

# How much of the inbox a failure's message shows.
MOST_SHOWN = 20
LONGEST_SHOWN = 1000

T = TypeVar("T")

_open_streams: set["Stream"] = set()
_ids = itertools.count(1)


class WaitTimeout(TimeoutError):
    """An awaited stanza did not come. The message tells what came instead."""


class StreamClosed(ConnectionError):
    """The stream ended before an awaited stanza came.
    The message tells how, and what came before."""


class AuthenticationError(Exception):
    """The server refused the login. `condition` is SASL's or the stream error's."""

    def __init__(self, condition: str):
        super().__init__(f"login refused: {condition}")
        self.condition = condition


class StanzaError(Exception):
    """A reply of type error: its `type` (cancel, wait, …),
    `condition` (item-not-found, …) and `text`, or ""."""

    def __init__(self, type: str, condition: str, text: str, stanza: Element):
        super().__init__(f"{type}/{condition}: {text}" if text else f"{type}/{condition}")
        self.type = type
        self.condition = condition
        self.text = text
        self.stanza = stanza


@dataclass(frozen=True)
class RosterItem:
    """A contact in a roster."""

    jid: str
    subscription: str
    ask: str | None
    approved: bool
    name: str | None
    groups: frozenset[str]


@dataclass(frozen=True)
class DiscoItem:
    """An item in a disco#items reply."""

    jid: str | None
    node: str | None
    name: str | None


@dataclass
class DiscoInfo:
    """A disco#info reply. Identities are (category, type, name)."""

    node: str | None
    identities: list[tuple[str | None, str | None, str | None]] = field(default_factory=list)
    features: set[str] = field(default_factory=set)


# ---- XML ----

def local_name(element: Element) -> str:
    """The element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def namespace(element: Element) -> str:
    """The element's namespace, or ""."""
    return element.tag[1:].partition("}")[0] if element.tag.startswith("{") else ""


def to_xml(element: Element, parent_namespace: str = "") -> str:
    """The element as XML, without prefixes: each change of namespace has an `xmlns`."""
    name = local_name(element)
    attributes = ""
    if namespace(element) != parent_namespace:
        attributes += f" xmlns={quoteattr(namespace(element))}"
    for key, value in element.attrib.items():
        attributes += f" {key.replace('{' + XML + '}', 'xml:')}={quoteattr(value)}"
    content = escape(element.text or "")
    for child in element:
        content += to_xml(child, namespace(element)) + escape(child.tail or "")
    return f"<{name}{attributes}>{content}</{name}>" if content else f"<{name}{attributes}/>"


def children(element: Element, name: str) -> list[Element]:
    """The element's children with this local name, in any namespace."""
    return [child for child in element if local_name(child) == name]


def child(element: Element, name: str) -> Element | None:
    """The first child with this local name, in any namespace, or None."""
    return next(iter(children(element, name)), None)


def error_of(stanza: Element) -> StanzaError | None:
    """The error in a stanza of type error, or None."""
    if stanza.get("type") != "error":
        return None
    error = child(stanza, "error")
    if error is None:
        return StanzaError("", "", "", stanza)
    conditions = [entry for entry in error if namespace(entry) == STANZA_ERRORS and local_name(entry) != "text"]
    text = error.find(f"{{{STANZA_ERRORS}}}text")
    return StanzaError(error.get("type", ""), local_name(conditions[0]) if conditions else "",
                       "" if text is None else text.text or "", stanza)


def raise_error(stanza: Element) -> Element:
    """Returns the stanza, or raises the error in it."""
    error = error_of(stanza)
    if error:
        raise error
    return stanza


def bare(jid: str) -> str:
    """The JID without its resource."""
    return jid.partition("/")[0]


# ---- data forms (XEP-0004) ----

def form_in(element: Element) -> Element | None:
    """The first data form anywhere in the element, or None."""
    return next(element.iter(f"{{{DATA_FORM}}}x"), None)


def form_fields(form: Element) -> dict[str, Element]:
    """A form's fields by `var`, in order."""
    return {entry.get("var", ""): entry for entry in form.findall(f"{{{DATA_FORM}}}field")}


def field_value(entry: Element) -> str:
    """A field's value. Several are joined by line breaks, and none is ""."""
    return "\n".join(value.text or "" for value in entry.findall(f"{{{DATA_FORM}}}value"))


def form_values(form: Element) -> dict[str, str]:
    """A form's values by `var`, in order."""
    return {name: field_value(entry) for name, entry in form_fields(form).items()}


def submit_form(values: Mapping[str, str], type: str = "submit") -> str:
    """A form with these values, as XML."""
    fields = "".join(f"<field var={quoteattr(name)}><value>{escape(value)}</value></field>"
                     for name, value in values.items())
    return f"<x xmlns='{DATA_FORM}' type={quoteattr(type)}>{fields}</x>"


def preauth_element(token: str) -> str:
    """The element of XEP-0445 and XEP-0379, as XML."""
    return f"<preauth xmlns='{PARS}' token={quoteattr(token)}/>"


# ---- streams ----

class Stream(asyncio.Protocol):
    """One XMPP stream over TCP. `Client` and `Component` are the two kinds."""

    content_namespace: str

    def __init__(self, domain: str):
        """A stream to `domain`. Use `connect` of the two kinds."""
        self.domain = domain
        self.inbox: list[Element] = []
        self.end: str | None = None
        self.jid = ""
        self.language: str | None = None
        self.on_request: Callable[[Element], None] | None = None
        self._transport: asyncio.Transport | None = None
        self._stream_header: Element | None = None
        self._awaited_replies: dict[str, asyncio.Future[Element]] = {}
        self._changed = asyncio.Event()
        self._forget_parsed()

    async def __aenter__(self) -> "Stream":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio's protocol interface."""
        self._transport = transport
        _open_streams.add(self)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's protocol interface: parses the data."""
        try:
            self._parser.feed(data)
            for event, element in self._parser.read_events():
                self._depth += 1 if event == "start" else -1
                if event == "start" and self._depth == 1:
                    self._stream_header = element
                elif event == "end" and self._depth == 1:
                    self._stream_header.remove(element)
                    self._received(element)
                elif event == "end" and self._depth == 0:
                    self._ended("the server closed the stream")
        except ElementTree.ParseError as error:
            self._ended(f"the server sent something that is not XML: {error}")
        self._changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        """Part of asyncio's protocol interface."""
        self._ended(f"the connection was lost: {error}" if error else "the connection was closed")
        _open_streams.discard(self)

    # What tests call.

    def send(self, stanza: str | Element) -> None:
        """Sends XML unchanged."""
        if self.end is not None:
            raise StreamClosed(f"nothing can be sent: {self._state()}")
        self._transport.write((stanza if isinstance(stanza, str) else to_xml(stanza, self.content_namespace)).encode())

    async def expect(self, matches: Callable[[Element], bool], seconds: float = PATIENCE,
                     what: str = "the expected stanza") -> Element:
        """Waits for the first element that matches, in the inbox or still to come, and takes it."""
        def take() -> Element | None:
            for position, element in enumerate(self.inbox):
                if matches(element):
                    return self.inbox.pop(position)
            return None

        return await self._until(take, seconds, what)

    async def expect_stanza(self, name: str, seconds: float = PATIENCE, **attributes: str) -> Element:
        """Waits for a stanza with this name and these attributes. `sender` stands for `from`, where
        a bare JID also matches its full JIDs."""
        def matches(element: Element) -> bool:
            if local_name(element) != name:
                return False
            for key, wanted in attributes.items():
                value = element.get("from" if key == "sender" else key)
                if value != wanted and not (key == "sender" and bare(value or "") == wanted):
                    return False
            return True

        told = " ".join([name, *(f"{key}={value!r}" for key, value in attributes.items())])
        return await self.expect(matches, seconds, f"<{told}>")

    async def expect_nothing(self, matches: Callable[[Element], bool], seconds: float, what: str) -> None:
        """Waits for some time, and fails if anything that matches comes."""
        try:
            came = await self.expect(matches, seconds, what)
        except WaitTimeout:
            return
        raise AssertionError(f"{what} must not come, and did: {to_xml(came)}")

    async def expect_end(self, seconds: float = PATIENCE) -> str:
        """Waits until the server has ended the stream, and returns how."""
        return await self._until(lambda: self.end, seconds, "the end of the stream", closed_is_failure=False)

    async def send_iq(self, type: str, payload: str | Element = "", to: str | None = None, *,
                      seconds: float = PATIENCE, id: str | None = None, sender: str | None = None) -> Element:
        """Sends an IQ ("get" or "set") and returns the reply, result or error."""
        id = id or f"easy-{next(_ids)}"
        attributes = f" type={quoteattr(type)} id={quoteattr(id)}"
        if to is not None:
            attributes += f" to={quoteattr(to)}"
        if sender is not None:
            attributes += f" from={quoteattr(sender)}"
        content = payload if isinstance(payload, str) else to_xml(payload, self.content_namespace)
        reply = asyncio.get_running_loop().create_future()
        self._awaited_replies[id] = reply
        try:
            self.send(f"<iq{attributes}>{content}</iq>")
            return await self._until(lambda: reply.result() if reply.done() else None, seconds,
                                     f"a reply to the IQ {id} ({content[:200]}) to {to or 'the own server'}")
        finally:
            del self._awaited_replies[id]

    async def ask(self, type: str, payload: str | Element = "", to: str | None = None, **options: object) -> Element:
        """`send_iq` that raises the reply if it is an error."""
        return raise_error(await self.send_iq(type, payload, to, **options))

    def reply(self, request: Element, payload: str | Element = "") -> None:
        """Answers a received IQ with a result."""
        content = payload if isinstance(payload, str) else to_xml(payload, self.content_namespace)
        self.send(f"<iq type='result'{self._back_to(request)}>{content}</iq>")

    def reply_error(self, request: Element, type: str, condition: str, text: str = "") -> None:
        """Answers a received IQ with an error."""
        told = f"<text xmlns='{STANZA_ERRORS}'>{escape(text)}</text>" if text else ""
        self.send(f"<iq type='error'{self._back_to(request)}><error type={quoteattr(type)}>"
                  f"<{condition} xmlns='{STANZA_ERRORS}'/>{told}</error></iq>")

    async def disco_info(self, to: str, node: str | None = None) -> DiscoInfo:
        """Asks for service discovery information (XEP-0030)."""
        asked = "" if node is None else f" node={quoteattr(node)}"
        reply = await self.ask("get", f"<query xmlns='{DISCO_INFO}'{asked}/>", to)
        query = reply.find(f"{{{DISCO_INFO}}}query")
        info = DiscoInfo(query.get("node"))
        for entry in query:
            if local_name(entry) == "identity":
                info.identities.append((entry.get("category"), entry.get("type"), entry.get("name")))
            elif local_name(entry) == "feature":
                info.features.add(entry.get("var"))
        return info

    async def disco_items(self, to: str, node: str | None = None) -> list[DiscoItem]:
        """Asks for service discovery items (XEP-0030)."""
        asked = "" if node is None else f" node={quoteattr(node)}"
        reply = await self.ask("get", f"<query xmlns='{DISCO_ITEMS}'{asked}/>", to)
        return [DiscoItem(item.get("jid"), item.get("node"), item.get("name"))
                for item in reply.iter(f"{{{DISCO_ITEMS}}}item")]

    async def commands(self, to: str) -> dict[str, DiscoItem]:
        """The ad-hoc commands at an address, by node (XEP-0050)."""
        return {item.node: item for item in await self.disco_items(to, ADHOC)}

    async def execute(self, to: str, node: str, *, action: str | None = "execute", session: str | None = None,
                      form: Mapping[str, str] | str | Element | None = None) -> Element:
        """One step of an ad-hoc command (XEP-0050).
        Returns the reply's <command/>, or raises StanzaError."""
        attributes = f" node={quoteattr(node)}"
        if action is not None:
            attributes += f" action={quoteattr(action)}"
        if session is not None:
            attributes += f" sessionid={quoteattr(session)}"
        if form is None:
            content = ""
        elif isinstance(form, str):
            content = form
        else:
            content = to_xml(form, ADHOC) if isinstance(form, Element) else submit_form(form)
        reply = await self.ask("set", f"<command xmlns='{ADHOC}'{attributes}>{content}</command>", to)
        command = reply.find(f"{{{ADHOC}}}command")
        if command is None:
            raise AssertionError(f"a command's reply without a command: {to_xml(reply)}")
        return command

    async def close(self) -> None:
        """Closes the stream properly."""
        if self.end is None:
            self.send("</stream:stream>")
            try:
                await self.expect_end(2)
            except WaitTimeout:
                pass
        self._transport.close()
        _open_streams.discard(self)

    def abort(self) -> None:
        """Drops the connection, as a lost network does."""
        self._transport.abort()

    # Internal.

    def _forget_parsed(self) -> None:
        self._parser = ElementTree.XMLPullParser(events=("start", "end"))
        self._depth = 0
        self._stream_header = None

    async def _open(self) -> Element:
        """Opens the stream, possibly again, and returns the server's header."""
        self._forget_parsed()
        self.send(f"<?xml version='1.0'?><stream:stream xmlns='{self.content_namespace}' xmlns:stream='{STREAM}' "
                  f"to={quoteattr(self.domain)}{self._stream_version()}{self._stream_language()}>")
        return await self._until(lambda: self._stream_header, PATIENCE, "the server's stream header")

    def _stream_version(self) -> str:
        return " version='1.0'"

    def _stream_language(self) -> str:
        return f" xml:lang={quoteattr(self.language)}" if self.language else ""

    def _received(self, element: Element) -> None:
        if element.tag == f"{{{STREAM}}}error":
            condition = " ".join(local_name(entry) for entry in element if local_name(entry) != "text")
            text = "".join(entry.text or "" for entry in children(element, "text"))
            self._ended(f"stream error {condition}" + (f": {text}" if text else ""))
        if local_name(element) == "iq":
            if element.get("type") in ("get", "set"):
                if self.on_request is not None:
                    self.on_request(element)
            else:
                awaited = self._awaited_replies.get(element.get("id"))
                if awaited is not None and not awaited.done():
                    awaited.set_result(element)
                    return
        self.inbox.append(element)

    def _ended(self, how: str) -> None:
        if self.end is None:
            self.end = how
        self._changed.set()

    def _back_to(self, request: Element) -> str:
        attributes = f" id={quoteattr(request.get('id', ''))}"
        for attribute, source in (("to", "from"), ("from", "to")):
            if request.get(source) is not None:
                attributes += f" {attribute}={quoteattr(request.get(source))}"
        return attributes

    def _state(self) -> str:
        shown = [f"  {to_xml(element)[:LONGEST_SHOWN]}" for element in self.inbox[-MOST_SHOWN:]]
        return "\n".join([f"{self.end or 'the stream is open'}; in the inbox ({len(self.inbox)}):", *shown])

    async def _until(self, found: Callable[[], object], seconds: float, what: str, *, closed_is_failure: bool = True):
        """Waits until `found()` is neither None nor False, and returns it."""
        deadline = time.monotonic() + seconds
        while True:
            self._changed.clear()
            result = found()
            if result is not None and result is not False:
                return result
            if self.end is not None and closed_is_failure:
                raise StreamClosed(f"{self.jid or self.domain} waited for {what}; {self._state()}")
            try:
                await asyncio.wait_for(self._changed.wait(), deadline - time.monotonic())
            except TimeoutError:
                raise WaitTimeout(
                    f"{self.jid or self.domain} waited {seconds} s for {what}; {self._state()}") from None


class Client(Stream):
    """A client's stream. Until a test sets `on_request`, it answers pings and roster pushes by
    itself, and refuses other requests."""

    content_namespace = CLIENT

    def __init__(self, domain: str):
        """A stream to `domain`. Use `Client.connect`."""
        super().__init__(domain)
        self.features = Element("features")
        self.on_request = self._answer_as_clients_do

    @classmethod
    async def connect(cls, host: str, port: int, domain: str, *, tls: bool = False,
                      source: str | None = None, language: str | None = None) -> "Client":
        """Connects, opens the stream in this language (`xml:lang`) and reads its features.

        With `tls` it encrypts the stream, and accepts any certificate. `source` is the local
        address.
        """
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: cls(domain), host, port, local_addr=(source, 0) if source else None)
        client.language = language
        await client._open_and_read_features()
        if tls:
            await client.start_tls()
        return client

    def has_feature(self, tag: str) -> bool:
        """Whether the stream's features have this element."""
        return self.features.find(tag) is not None

    async def start_tls(self) -> None:
        """Encrypts the stream (STARTTLS), and opens it again."""
        self.send(f"<starttls xmlns='{TLS}'/>")
        await self.expect(lambda element: element.tag == f"{{{TLS}}}proceed", what="<proceed/> for STARTTLS")
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, context, server_hostname=self.domain)
        await self._open_and_read_features()

    async def authenticate(self, username: str, password: str) -> None:
        """Logs in with SASL PLAIN, and opens the stream again. Raises AuthenticationError."""
        secret = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
        self.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{secret}</auth>")
        answer = await self.expect(lambda element: namespace(element) == SASL, what="the answer to the login")
        if local_name(answer) != "success":
            raise AuthenticationError(next((local_name(entry) for entry in answer if local_name(entry) != "text"), ""))
        await self._open_and_read_features()

    async def bind(self, resource: str | None = None) -> str:
        """Binds a resource and returns the full JID."""
        wanted = f"<resource>{escape(resource)}</resource>" if resource else ""
        reply = await self.ask("set", f"<bind xmlns='{BIND}'>{wanted}</bind>")
        self.jid = next(reply.iter(f"{{{BIND}}}jid")).text
        return self.jid

    async def login(self, username: str, password: str, *, resource: str | None = None,
                    presence: bool = True) -> "Client":
        """Logs in and binds. With `presence`, also asks for the
        roster, so that it is pushed, and becomes available."""
        await self.authenticate(username, password)
        await self.bind(resource)
        if presence:
            await self.roster()
            await self.become_available()
        return self

    async def become_available(self) -> None:
        """Sends initial presence, and waits until the server returns it."""
        self.send("<presence/>")
        await self.expect(lambda stanza: local_name(stanza) == "presence" and stanza.get("from") == self.jid
                          and stanza.get("type") is None, what="the client's own presence")

    async def roster(self) -> dict[str, RosterItem]:
        """The contacts, by JID."""
        reply = await self.ask("get", f"<query xmlns='{ROSTER}'/>")
        return roster_items(reply)

    async def roster_push(self, jid: str, subscription: str, seconds: float = PATIENCE) -> RosterItem:
        """Waits for the roster push with this subscription
        ("none", "to", "from" or "both") for a contact."""
        def matches(stanza: Element) -> bool:
            item = roster_items(stanza).get(jid) if stanza.get("type") == "set" else None
            return item is not None and item.subscription == subscription

        push = await self.expect(matches, seconds, f"a roster push: {jid} with subscription {subscription}")
        return roster_items(push)[jid]

    async def presence_from(self, jid: str, type: str | None = None, seconds: float = PATIENCE) -> Element:
        """Waits for a presence of this type (None:
        available) from a bare JID or one of its full JIDs."""
        return await self.expect(lambda stanza: local_name(stanza) == "presence" and stanza.get("type") == type
                                 and jid in (stanza.get("from"), bare(stanza.get("from", ""))), seconds,
                                 f"presence of type {type or 'available'} from {jid}")

    def subscribe(self, jid: str, token: str | None = None) -> None:
        """Asks for a contact's presence, with an invite's token if there is one (XEP-0379)."""
        payload = preauth_element(token) if token else ""
        self.send(f"<presence type='subscribe' to={quoteattr(jid)}>{payload}</presence>")

    def send_message(self, to: str, body: str) -> None:
        """Sends a chat message."""
        self.send(f"<message type='chat' to={quoteattr(to)}><body>{escape(body)}</body></message>")

    async def preauth(self, token: str, to: str | None = None) -> None:
        """Presents an invite's token before registering (XEP-0445), with or without `to`.
        Raises StanzaError."""
        await self.ask("set", preauth_element(token), to)

    async def registration_get(self, to: str | None = None) -> Element:
        """Asks for the registration's <query/> (XEP-0077)."""
        reply = await self.ask("get", f"<query xmlns='{REGISTER}'/>", to)
        return reply.find(f"{{{REGISTER}}}query")

    async def registration_set(self, username: str, password: str, to: str | None = None, *,
                               as_form: bool = False, sender: str | None = None) -> None:
        """Registers (XEP-0077) with the legacy fields or a data form, with or without `to`.
        Raises StanzaError."""
        if as_form:
            fields = submit_form({"FORM_TYPE": REGISTER, "username": username, "password": password})
        else:
            fields = f"<username>{escape(username)}</username><password>{escape(password)}</password>"
        await self.ask("set", f"<query xmlns='{REGISTER}'>{fields}</query>", to, sender=sender)

    async def _open_and_read_features(self) -> None:
        await self._open()
        self.features = await self.expect(lambda element: element.tag == f"{{{STREAM}}}features",
                                          what="the stream's features")

    def _answer_as_clients_do(self, request: Element) -> None:
        payload = request[0].tag if len(request) else ""
        if payload in (f"{{{PING}}}ping", f"{{{ROSTER}}}query"):
            self.reply(request)
        else:
            self.reply_error(request, "cancel", "service-unavailable")


class Component(Stream):
    """A component's stream (XEP-0114). It answers nothing by itself: tests take requests from the
    inbox, or set `on_request` to a function that calls `reply` or `reply_error`. Each stanza that
    it sends must have a `from`."""

    content_namespace = COMPONENT

    @classmethod
    async def connect(cls, host: str, port: int, jid: str, secret: str) -> "Component":
        """Connects and logs in. Raises AuthenticationError."""
        _, component = await asyncio.get_running_loop().create_connection(lambda: cls(jid), host, port)
        component.jid = jid
        header = await component._open()
        digest = hashlib.sha1((header.get("id", "") + secret).encode()).hexdigest()
        component.send(f"<handshake>{digest}</handshake>")
        try:
            await component.expect(lambda element: local_name(element) == "handshake", what="the handshake's answer")
        except StreamClosed:
            raise AuthenticationError(component.end) from None
        return component

    def _stream_version(self) -> str:
        return ""

    async def send_iq(self, type: str, payload: str | Element = "", to: str | None = None,
                      **options: object) -> Element:
        """`Stream.send_iq`, from the component's own JID unless `sender` names another."""
        options.setdefault("sender", self.jid)
        return await super().send_iq(type, payload, to, **options)


def roster_items(stanza: Element) -> dict[str, RosterItem]:
    """The contacts in a roster reply or push, by JID."""
    items = (RosterItem(item.get("jid"), item.get("subscription", "none"), item.get("ask"),
                        item.get("approved") in ("true", "1"), item.get("name"),
                        frozenset(group.text or "" for group in item.findall(f"{{{ROSTER}}}group")))
             for item in stanza.iter(f"{{{ROSTER}}}item"))
    return {item.jid: item for item in items}


async def close_all() -> None:
    """Closes every open stream."""
    while _open_streams:
        await _open_streams.pop().close()


def run(coroutine: Coroutine[object, object, T]) -> T:
    """Runs it in an event loop of its own, and closes the streams that it left open."""
    async def run_and_close() -> T:
        try:
            return await coroutine
        finally:
            await close_all()

    return asyncio.run(run_and_close())
