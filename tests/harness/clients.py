"""The chat clients that people use, as far as invites go, each as strict or as sloppy as it is.

They tell whether a client's user gets through on a server. When a client would refuse, it raises a
`ClientError` with what its user sees. Each sends the stanzas of the real client in their order.
What is the same in all of them (login, presence) is not imitated.

A client is made with the `Server` that it connects to. The inviter does `log_in` and
`create_invite`. The friend does `join`, which is `redeem`, `log_in` and, for a contact link,
`add_contact`.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element, SubElement
from xml.sax.saxutils import quoteattr

from .server import Server
from .xmpp import (ADHOC, DATA_FORM, DISCO_ITEMS, INVITE_FEATURE, REGISTER_FEATURE, ROSTER, TOKEN_FEATURE, Client,
                   StanzaError, bare, child, children, error_of, field_value, form_fields, form_in,
                   form_values, local_name, to_xml)

NEW_INVITE = "urn:xmpp:invite#invite"
CREATE_ACCOUNT = "urn:xmpp:invite#create-account"
CAPABILITIES = "http://jabber.org/protocol/caps"
OUT_OF_BAND = "jabber:x:oob"


class ClientError(Exception):
    """The client gives up. The message is what its user sees, or what the user does not see."""


@dataclass(frozen=True)
class Link:
    """An `xmpp:` link as a client reads it."""

    domain: str
    username: str | None
    action: str
    parameters: Mapping[str, str]

    @property
    def token(self) -> str | None:
        """The invite's token, if the link has one."""
        return self.parameters.get("preauth")

    @property
    def jid(self) -> str:
        """The address in the link."""
        return f"{self.username}@{self.domain}" if self.username else self.domain


@dataclass(frozen=True)
class SharedInvite:
    """A new invite: the two links in the answer, and the one that the user shares."""

    uri: str
    landing_url: str | None
    shared: str


@dataclass(frozen=True)
class Shown:
    """What a client shows of a command's answer: a form's values, a note or a web address.

    Some clients show only one of them. The client keeps `session` and `form` for the next step.
    """

    status: str | None
    values: Mapping[str, str]
    note: str | None
    session: str | None
    form: Element | None


class ChatClient:
    """What all clients have in common."""

    name: ClassVar[str]

    def __init__(self, server: Server):
        """A client with no account yet."""
        self.server = server
        self.stream: Client | None = None

    @property
    def jid(self) -> str:
        """The bare JID it is logged in with."""
        return bare(self.stream.jid)

    async def log_in(self, username: str, password: str, domain: str | None = None) -> None:
        """Logs in and becomes available."""
        self.stream = await self.server.login(username, password, domain=domain)

    async def log_out(self) -> None:
        """Ends the session."""
        await self.stream.close()

    async def create_invite(self) -> SharedInvite:
        """Presses the client's invite button."""
        raise ClientError(f"{self.name} has no button for invites")

    async def redeem(self, uri: str, username: str, password: str) -> str:
        """Opens a link without an account and registers.
        Returns the new bare JID, and does not log in."""
        raise ClientError(f"{self.name} does not register with links")

    async def add_contact(self, uri: str) -> None:
        """Opens a contact link with an account: asks for the contact's presence, with the token."""
        link = self.read_link(uri)
        if link.action != "roster":
            raise ClientError("the link is not to a contact")
        await self.subscribe(link)

    async def join(self, uri: str, username: str, password: str) -> None:
        """Opens a link without an account: registers, logs in, and adds the contact in the link."""
        jid = await self.redeem(uri, username, password)
        await self.log_in(username, password, jid.partition("@")[2])
        if self.read_link(uri).action == "roster":
            await self.add_contact(uri)

    async def subscribe(self, link: Link) -> None:
        """Asks for the presence of the contact in the link."""
        self.stream.subscribe(link.jid, link.token)

    def read_link(self, uri: str) -> Link:
        """Reads an `xmpp:` link, and refuses any other scheme."""
        scheme, _, rest = uri.partition(":")
        if scheme.lower() != "xmpp":
            raise ClientError(f"{uri} is not an XMPP link")
        address, _, query = rest.partition("?")
        action, *parameters = query.split(";")
        username, _, domain = unquote(address).rpartition("@")
        return Link(domain, username or None, action, dict(map(self.read_parameter, parameters)))

    def read_parameter(self, text: str) -> tuple[str, str]:
        """Reads one `key=value` of a link."""
        key, _, value = text.partition("=")
        return key, value

    async def ask(self, to: str, type: str, payload: str) -> Element:
        """The reply to an IQ, result or error.
        A reply from another address is ignored as forged."""
        reply = await self.stream.send_iq(type, payload, to)
        if reply.get("from") != to:
            raise ClientError(f"an answer from {reply.get('from')} instead of {to} is ignored")
        return reply

    async def listed_commands(self) -> list[Element]:
        """The items in the list of commands of the user's own server."""
        reply = await self.ask(self.stream.domain, "get",
                               f"<query xmlns='{DISCO_ITEMS}' node='{ADHOC}'/>")
        query = child(reply, "query")
        if error_of(reply) or query is None or query.get("node") != ADHOC:
            raise ClientError("the server's list of commands cannot be read")
        return children(query, "item")


def require_legacy_fields(query: Element | None) -> None:
    """Requires the legacy fields in the registration form, as every client but Siskin does."""
    if query is None or child(query, "username") is None or child(query, "password") is None:
        raise ClientError("the registration form has no <username/> and <password/>")


def may_register(link: Link) -> bool:
    """Whether a link offers an account, for clients that look at `ibr`."""
    return link.action == "register" or (link.action == "roster" and link.parameters.get("ibr") == "y")


def told(error: StanzaError) -> str:
    """An error's condition and text, as Monal shows them."""
    return f"{error.condition} ({error.text})"


class Conversations(ChatClient):
    """Conversations since 2.13, and its forks."""

    name = "Conversations"
    token_feature = TOKEN_FEATURE
    addresses_domain = True

    def __init__(self, server: Server):
        """A client with no account yet."""
        super().__init__(server)
        self.command_addresses: dict[str, str] = {}

    async def log_in(self, username: str, password: str, domain: str | None = None) -> None:
        """Logs in, and reads once which commands the
        user's own server has, and at which addresses."""
        await super().log_in(username, password, domain)
        self.command_addresses = {}
        info = await self.stream.disco_info(self.stream.domain)
        if ADHOC in info.features:
            self.command_addresses = {item.get("node"): item.get("jid") for item in await self.listed_commands()}

    def read_parameter(self, text: str) -> tuple[str, str]:
        """Accepts keys in any case, and decodes values."""
        key, value = super().read_parameter(text)
        return key.lower(), unquote(value)

    async def create_invite(self) -> SharedInvite:
        """Presses the invite button, which is there only if the command is listed:
        one step, no form."""
        address = self.address_for_invites()
        reply = await self.ask(address, "set",
                               f"<command xmlns='{ADHOC}' node={quoteattr(NEW_INVITE)} action='execute'/>")
        error = error_of(reply)
        if error:
            raise ClientError(self.told_refusal(error))
        return self.read_invite(reply)

    async def create_account_invite(self) -> SharedInvite:
        """Makes an admin's invite for an account: asks for a contact, and chooses no username."""
        address = self.address_for_invites()
        try:
            first = await self.stream.execute(address, CREATE_ACCOUNT)
            form = form_in(first)
            if first.get("status") != "executing" or form is None:
                raise ClientError("Unable to parse invite")
            username = form_fields(form).get("username")
            if username is not None and child(username, "required") is not None:
                raise ClientError("a username is required, and there is nowhere to type it")
            last = await self.stream.execute(address, CREATE_ACCOUNT, session=first.get("sessionid"),
                                             form={"roster-subscription": "true"})
        except StanzaError as error:
            raise ClientError(self.told_refusal(error)) from error
        values = form_values(form_in(last)) if form_in(last) is not None else {}
        uri = values.get("uri")
        if not uri:
            raise ClientError("Unable to parse invite")
        landing_url = self.read_landing_url(values.get("landing-url"))
        return SharedInvite(uri, landing_url, landing_url or uri)

    def address_for_invites(self) -> str:
        """The address of New Invite. Without it there is no button."""
        if NEW_INVITE not in self.command_addresses:
            raise ClientError("there is no invite button")
        return self.command_addresses[NEW_INVITE]

    def told_refusal(self, error: StanzaError) -> str:
        """What the user reads when the command is refused."""
        return "Unable to parse invite"

    def read_invite(self, reply: Element) -> SharedInvite:
        """The invite in the answer, if its link is to the user as a contact."""
        form = form_in(reply)
        values = form_values(form) if form is not None else {}
        uri = values.get("uri")
        if not uri:
            raise ClientError("Unable to parse invite")
        if self.read_link(uri).jid != self.jid:
            raise ClientError("Unable to parse invite")
        landing_url = self.read_landing_url(values.get("landing-url"))
        return SharedInvite(uri, landing_url, landing_url or uri)

    def read_landing_url(self, text: str | None) -> str | None:
        """The landing page. It may be missing or empty,
        but must not be anything but a web address."""
        if not text:
            return None
        try:
            parts = urlsplit(text)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 443) > 0
        except ValueError:
            valid = False
        if not valid:
            raise ClientError("Unable to parse invite")
        return text

    async def redeem(self, uri: str, username: str, password: str) -> str:
        """Registers by token, registration form and legacy fields, each sent to the domain."""
        link = self.read_link(uri)
        if not may_register(link):
            raise ClientError("the link does not offer an account")
        if link.action == "register" and link.username and link.username != username:
            raise ClientError(f"the username is {link.username} and cannot be edited")
        async with await self.server.connect(link.domain) as stream:
            if not stream.has_feature(REGISTER_FEATURE):
                raise ClientError("Registration not supported")
            to = link.domain if self.addresses_domain else None
            if link.token and stream.has_feature(self.token_feature):
                await self.present_token(stream, link.token, to)
            try:
                query = await stream.registration_get(to)
            except StanzaError as error:
                raise ClientError("Registration failed") from error
            if query is not None and query.find(f"{{{OUT_OF_BAND}}}x") is not None:
                raise ClientError("register on the website")
            require_legacy_fields(query)
            sender = None if self.addresses_domain else f"{username}@{link.domain}"
            try:
                await stream.registration_set(username, password, to, sender=sender)
            except StanzaError as error:
                raise ClientError(told_registration_failure(error)) from error
        return f"{username}@{link.domain}"

    async def present_token(self, stream: Client, token: str, to: str | None) -> None:
        """Presents the token, and ignores any refusal but "unknown token"."""
        try:
            await stream.preauth(token, to)
        except StanzaError as error:
            if error.condition == "item-not-found":
                raise ClientError("Invalid registration token") from error

    async def subscribe(self, link: Link) -> None:
        """Adds the contact to the roster, then asks for the presence."""
        await self.stream.ask("set", f"<query xmlns='{ROSTER}'><item jid={quoteattr(link.jid)}/></query>")
        await super().subscribe(link)


def told_registration_failure(error: StanzaError) -> str:
    """What a user of Conversations reads when registration fails.
    It never shows the server's text."""
    if error.condition == "conflict":
        return "Username already in use"
    if error.condition == "resource-constraint":
        return "Try again later"
    if error.condition == "not-acceptable" and error.text in (
            "The password is too weak", "Please use a longer password."):
        return "The password is too weak"
    return "Registration failed"


class ConversationsOld(Conversations):
    """Conversations up to 2.12."""

    name = "Conversations 2.12"
    token_feature = INVITE_FEATURE
    addresses_domain = False

    def told_refusal(self, error: StanzaError) -> str:
        """The server's text."""
        return error.text or error.condition

    def read_invite(self, reply: Element) -> SharedInvite:
        """The invite in the answer, unchecked."""
        form = form_in(reply)
        values = form_values(form) if form is not None else {}
        if not values.get("uri"):
            raise ClientError("Unable to parse invite")
        landing_url = values.get("landing-url") or None
        return SharedInvite(values["uri"], landing_url, landing_url or values["uri"])

    async def present_token(self, stream: Client, token: str, to: str | None) -> None:
        """Presents the token, and stops at any refusal."""
        try:
            await stream.preauth(token, to)
        except StanzaError as error:
            raise ClientError("Invalid registration token") from error


class Cheogram(ConversationsOld):
    """Cheogram: the old Conversations, which also shows any command of a contact."""

    name = "Cheogram"

    async def open_commands_tab(self, contact: str) -> dict[str, str]:
        """Makes an address a contact and lists its commands, by node.

        There is a tab only if the contact's presence (XEP-0115) announces commands.
        """
        await self.subscribe(Link(contact, None, "roster", {}))
        presence = await self.stream.presence_from(contact)
        caps = presence.find(f"{{{CAPABILITIES}}}c")
        if caps is None:
            raise ClientError(f"there is no Commands tab: the presence of {contact} has no capabilities")
        address = presence.get("from")
        info = await self.stream.disco_info(address, f"{caps.get('node')}#{caps.get('ver')}")
        if ADHOC not in info.features:
            raise ClientError(f"there is no Commands tab: {contact} has no commands")
        return {node: item.name for node, item in (await self.stream.commands(address)).items()}

    async def run_command(self, address: str, node: str, answers: Mapping[str, str] | None = None) -> Shown:
        """Runs a command. With `answers`, fills in its form, and sends the whole form back."""
        first = self.show(await self.stream.execute(address, node))
        if answers is None:
            return first
        form = fill_in(first.form, answers)
        for entry in form_fields(form).values():
            if entry.get("type") == "boolean":
                set_value(entry, "true" if field_value(entry) in ("1", "true") else "false")
        action = self.button_of_last_answer
        return self.show(await self.stream.execute(address, node, action=action, session=first.session, form=form))

    def show(self, command: Element) -> Shown:
        """Shows only the first of form, web address and note."""
        if command.get("status") is None:
            raise ClientError("Cheogram crashes: an answer without a status")
        actions = child(command, "actions")
        offered = [local_name(action) for action in actions] if actions is not None else []
        self.button_of_last_answer = offered[0] if offered else "execute"
        status, session = command.get("status"), command.get("sessionid")
        for entry in command:
            if entry.tag == f"{{{DATA_FORM}}}x":
                return Shown(status, form_values(entry), None, session, entry)
            if entry.tag == f"{{{OUT_OF_BAND}}}x":
                return Shown(status, {"url": (child(entry, "url").text or "")}, None, session, None)
            if local_name(entry) == "note":
                return Shown(status, {}, entry.text or "", session, None)
        return Shown(status, {}, None, session, None)


class Monal(ChatClient):
    """Monal, on iOS and macOS."""

    name = "Monal"

    def read_parameter(self, text: str) -> tuple[str, str]:
        """The value ends at a second `=`."""
        key, value, *_ = [*text.split("="), ""]
        return key, value

    async def create_invite(self) -> SharedInvite:
        """Presses the share icon, which is there only if
        the domain lists the command at its own address."""
        domain = self.stream.domain
        if NEW_INVITE not in [item.get("node") for item in await self.listed_commands() if item.get("jid") == domain]:
            raise ClientError("there is no invite button")
        reply = await self.ask(domain, "set",
                               f"<command xmlns='{ADHOC}' node={quoteattr(NEW_INVITE)} action='execute'/>")
        error = error_of(reply)
        if error:
            raise ClientError(f"Failed to create invitation: {told(error)}")
        command = reply.find(f"{{{ADHOC}}}command")
        if command is None or command.get("node") != NEW_INVITE:
            raise ClientError("Failed to create invitation: unknown error")
        values = {entry.get("var"): field_value(entry) for entry in command.iter(f"{{{DATA_FORM}}}field")}
        if command.get("status") != "completed" or not values.get("uri"):
            raise ClientError(f"Failed to create invitation: unknown error: {command.get('status')}")
        expire = values.get("expire")
        if expire is not None and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", expire):
            raise ClientError(f"the end of the invite cannot be read: {expire}")
        uri = values["uri"]
        landing_url = values.get("landing-url")
        if landing_url is None:
            return SharedInvite(uri, None, f"https://invite.monal-im.org/#{uri.removeprefix('xmpp:')}")
        return SharedInvite(uri, landing_url, landing_url)

    async def redeem(self, uri: str, username: str, password: str) -> str:
        """Registers on one stream: token to the domain, then form and legacy fields without an
        address.

        The username in the link is only a proposal. A contact link is tried whether it offers an
        account or not.
        """
        link = self.read_link(uri)
        if link.action not in ("register", "roster"):
            raise ClientError("the link does not offer an account")
        if not re.search(r".+\..{2,}$", link.domain):
            raise ClientError(f"{link.domain} is not a domain")
        async with await self.server.connect(link.domain) as stream:
            if link.token and stream.has_feature(TOKEN_FEATURE):
                try:
                    await stream.preauth(link.token, link.domain)
                except StanzaError as error:
                    raise ClientError(f"Could not submit registration token: {told(error)}") from error
            try:
                query = await stream.registration_get()
                require_legacy_fields(query)
                await stream.registration_set(username, password)
            except StanzaError as error:
                raise ClientError(f"Registration error: {told(error)}") from error
        return f"{username}@{link.domain}"

    async def subscribe(self, link: Link) -> None:
        """Approves the contact beforehand, then asks for the presence."""
        self.stream.send(f"<presence type='subscribed' to={quoteattr(link.jid)}/>")
        await super().subscribe(link)


class Yaxim(ChatClient):
    """yaxim, on Android."""

    name = "yaxim"

    async def create_invite(self) -> SharedInvite:
        """Tries the command on the user's own domain.
        After any failure, the user gets a link that registers nobody."""
        reply = await self.ask(self.stream.domain, "set",
                               f"<command xmlns='{ADHOC}' node={quoteattr(NEW_INVITE)} action='execute'/>")
        command = reply.find(f"{{{ADHOC}}}command")
        form = form_in(reply)
        if error_of(reply) or command is None or command.get("status") != "completed" or form is None:
            raise ClientError("the user gets a link that registers nobody: the command was not completed")
        values = form_values(form)
        if "landing-url" not in values or not values.get("uri"):
            raise ClientError("the user gets a link that registers nobody: a link is missing in the answer")
        uri, landing_url = values["uri"], values["landing-url"]
        return SharedInvite(uri, landing_url, landing_url or f"https://yax.im/i/#{uri.removeprefix('xmpp:')}")

    async def redeem(self, uri: str, username: str, password: str) -> str:
        """Registers by token without an address, then form and legacy fields to the domain."""
        link = self.read_link(uri)
        if not may_register(link):
            raise ClientError("the link does not offer an account")
        async with await self.server.connect(link.domain) as stream:
            try:
                if link.token and stream.has_feature(INVITE_FEATURE):
                    await stream.preauth(link.token)
                require_legacy_fields(await stream.registration_get(link.domain))
                await stream.registration_set(username, password, link.domain)
            except StanzaError as error:
                raise ClientError(f"Registration failed: {told(error)}") from error
        return f"{username}@{link.domain}"


class Siskin(ChatClient):
    """Siskin IM and Snikket on iOS."""

    name = "Siskin"

    def read_parameter(self, text: str) -> tuple[str, str]:
        """The value ends at a second `=`."""
        key, value, *_ = [*text.split("="), ""]
        return key, value

    async def redeem(self, uri: str, username: str, password: str, *, slow: bool = False) -> str:
        """Registers by token as soon as there are features, then the form, preferably a data form.

        With a `slow` user, the stream is lost meanwhile. Everything is done again on a new stream,
        and the form must be the same.
        """
        link = self.read_link(uri)
        if not may_register(link):
            raise ClientError("the link does not offer an account")
        stream = await self.server.connect(link.domain)
        try:
            asked = await self.fetch_form(stream, link)
            if slow:
                stream.abort()
                stream = await self.server.connect(link.domain)
                if await self.fetch_form(stream, link) != asked:
                    raise ClientError("the form has changed and must be filled in again")
            as_form = asked[0] == "form"
            if not {"username", "password"} <= set(asked[1]):
                raise ClientError("the form asks for no username and password")
            try:
                await stream.registration_set(username, password, link.domain, as_form=as_form)
            except StanzaError as error:
                raise ClientError(told_by_siskin(error)) from error
        finally:
            await stream.close()
        return f"{username}@{link.domain}"

    async def fetch_form(self, stream: Client, link: Link) -> tuple[str, dict[str, str | None]]:
        """Presents the token and fetches the form.
        Returns the form's kind, and the label of each field."""
        try:
            if link.token and stream.has_feature(INVITE_FEATURE):
                await stream.preauth(link.token, link.domain)
            query = await stream.registration_get(link.domain)
        except StanzaError as error:
            raise ClientError(told_by_siskin(error)) from error
        form = form_in(query)
        if form is not None:
            return "form", {name: entry.get("label") for name, entry in form_fields(form).items()}
        return "fields", {local_name(entry): None for entry in query}


def told_by_siskin(error: StanzaError) -> str:
    """The server's text if there is one, else Siskin's own."""
    own_texts = {
        "feature-not-implemented": "Registration is not supported by this server",
        "not-acceptable": "Provided values are not acceptable",
        "not-allowed": "Provided values are not acceptable",
        "conflict": "User with provided username already exists",
        "service-unavailable": "Service is not available at this time",
    }
    return error.text or own_texts.get(error.condition, f"Server returned an error: {error.condition}")


class Beagle(ChatClient):
    """Beagle IM, on macOS: does not register, but runs
    any command, without ever naming the session."""

    name = "Beagle"

    async def run_command(self, address: str, node: str, answers: Mapping[str, str] | None = None) -> Shown:
        """Runs a command from the service discovery window. With `answers`, fills in its form."""
        first = self.show(await self.stream.execute(address, node, action=None))
        if answers is None:
            return first
        form = fill_in(first.form, answers)
        return self.show(await self.stream.execute(address, node, action=None, form=form))

    def show(self, command: Element) -> Shown:
        """Shows the form and the notes."""
        form = form_in(command)
        notes = [note.text or "" for note in children(command, "note")]
        return Shown(command.get("status"), form_values(form) if form is not None else {}, "\n".join(notes) or None,
                     command.get("sessionid"), form)


def fill_in(form: Element | None, answers: Mapping[str, str]) -> Element:
    """A form filled in with these answers and sent back
    whole, with title, instructions, labels and options."""
    if form is None:
        raise ClientError("there is no form to fill in")
    filled = copy.deepcopy(form)
    filled.set("type", "submit")
    fields = form_fields(filled)
    for name, value in answers.items():
        if name not in fields:
            raise ClientError(f"the form has no field {name}: {to_xml(form)}")
        set_value(fields[name], value)
    return filled


def set_value(entry: Element, value: str) -> None:
    """Gives a field one value."""
    for old in entry.findall(f"{{{DATA_FORM}}}value"):
        entry.remove(old)
    SubElement(entry, f"{{{DATA_FORM}}}value").text = value


ALL_THAT_REDEEM = (Conversations, ConversationsOld, Cheogram, Monal, Yaxim, Siskin)
ALL_WITH_A_BUTTON = (Conversations, ConversationsOld, Cheogram, Monal, Yaxim)
