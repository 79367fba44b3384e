"""The daemon's web pages, as a browser without a screen sees them. The test controls every byte of
a request, and nothing is followed, kept or repeated by itself.

`Server(…, settings=web_settings())` has pages. A `Visitor` looks at them.
"""

import asyncio
import http.client
import io
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlencode, urlsplit

from .daemon import REPOSITORY
from .process import PATIENCE, free_port
from .server import Server, password_of
from .stories import Invite

# The path of the pages below the public address.
# There is one, so that nothing relies on its absence.
PATH = "/join"
FORM_COOKIE = "easy-invite-form"
HTML_FORM = "application/x-www-form-urlencoded"


def text(key: str, *, language: str = "en", table: str = "web", **filled: str) -> str:
    """A text of the pages, or of another table, with its placeholders filled in."""
    texts = tomllib.loads((REPOSITORY / "languages" / f"{language}.toml").read_text())[table]
    return texts[key].format(**filled)


def web_settings(*, path: str = PATH, host: str = "example.org", **web: object) -> dict:
    """Settings for a `Server` whose invites lead to its own pages, on a free port.
    The rest goes into [web]."""
    port = free_port()
    listen = {"listen": f"127.0.0.1:{port}", "public_url": f"http://127.0.0.1:{port}{path}"}
    return {"web": {**listen, **web}, "hosts": {host: {"landing_page": None}}}


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: list[tuple[str, str]]
    body: str
    raw: bytes
    """All of it, as received."""

    def header(self, name: str) -> str | None:
        """The value of a header that occurs once, or None."""
        values = self.headers_of(name)
        assert len(values) <= 1, f"{name} occurs {len(values)} times: {values}"
        return values[0] if values else None

    def headers_of(self, name: str) -> list[str]:
        """The values of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def heading(self) -> str:
        """The heading of the page."""
        found = re.search("<h1>(.*?)</h1>", self.body, re.DOTALL)
        return text_of(found.group(1)) if found else ""

    @property
    def text(self) -> str:
        """The text that people read on the page."""
        return text_of(self.body.partition("<body>")[2])

    @property
    def fields(self) -> dict[str, str]:
        """The form's fields, as a browser would send them unchanged."""
        return _Inputs.of(self.body)


def text_of(html: str) -> str:
    """The text in HTML, without tags."""
    return " ".join(unescape(re.sub("<[^>]*>", "", html)).split())


@dataclass
class Visitor:
    """A browser, which keeps its cookies. Each request has its own connection."""

    server: Server
    source: str = "127.0.0.1"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of every request."""
    port: int | None = None
    """The port of a proxy. Without it, connections go to the daemon itself."""
    cookies: dict[str, str] = field(default_factory=dict)

    def path(self, invite: Invite | str, page: str = "") -> str:
        """The path of a page of an invite, or of a token:
        the landing page, "register", "reset" or "apps"."""
        token = invite if isinstance(invite, str) else invite.token
        prefix = urlsplit(self.server.daemon.config["web"]["public_url"]).path.rstrip("/")
        return f"{prefix}/i/{token}" + (f"/{page}" if page else "")

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Opens a page."""
        return await self.request("GET", path, headers)

    async def head(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Asks for a page's headers."""
        return await self.request("HEAD", path, headers)

    async def post(self, path: str, content: Mapping[str, str] | Iterable[tuple[str, str]] | bytes,
                   headers: Mapping[str, str] | None = None) -> Answer:
        """Sends a form: its fields, or raw bytes."""
        body = content if isinstance(content, bytes) else urlencode(content).encode()
        about = {"Content-Type": HTML_FORM, "Content-Length": str(len(body)), **(headers or {})}
        return await self.request("POST", path, about, body)

    async def status_of(self, path: str, form: Mapping[str, str]) -> int | None:
        """Sends a form. Returns the answer's status, or None without an answer."""
        try:
            return (await asyncio.wait_for(self.post(path, form), PATIENCE)).status
        except (OSError, EOFError, ValueError):
            return None

    async def register(self, invite: Invite, username: str | None = None, password: str | None = None) -> Answer:
        """Opens the form of an invite, fills it in and sends it."""
        return await self.post(self.path(invite, "register"), await self.filled_in(invite, username, password))

    async def reset(self, invite: Invite, password: str) -> Answer:
        """Opens the form of a password reset link, fills it in and sends it."""
        return await self.post(self.path(invite, "reset"), await self.filled_in(invite, None, password, page="reset"))

    async def filled_in(self, invite: Invite, username: str | None = None, password: str | None = None, *,
                        page: str = "register") -> dict[str, str]:
        """Opens the form of an invite, and returns it filled in."""
        form = await self.get(self.path(invite, page))
        assert form.status == 200, f"{form.status} {form.heading}"
        answers = {"password": password_of(username) if password is None else password}
        return {**form.fields, **answers, **({} if username is None else {"username": username})}

    async def request(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
                      ) -> Answer:
        """Sends a request and reads the whole response.
        A header whose value is None is left out."""
        sent: dict[str, str | None] = {"Host": f"127.0.0.1:{self.to_port}", "Connection": "close", **self.headers}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent.update(headers or {})
        head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items() if value is not None)]
        raw = await self.send("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body)
        answer = parse(raw, method)
        for cookie in answer.headers_of("Set-Cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    async def send(self, request: bytes) -> bytes:
        """Sends these bytes on a new connection, and returns everything up to its end."""
        reader, writer = await self.connect()
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), PATIENCE)
        finally:
            writer.transport.abort()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new connection."""
        return await asyncio.open_connection("127.0.0.1", self.to_port, local_addr=(self.source, 0))

    @property
    def to_port(self) -> int:
        """The port that connections go to."""
        return self.port or int(self.server.daemon.config["web"]["listen"].rpartition(":")[2])


def parse(raw: bytes, method: str = "GET") -> Answer:
    """The response in the bytes received for a request of this method."""
    response = http.client.HTTPResponse(_Received(raw), method=method)
    response.begin()
    return Answer(response.status, response.getheaders(), response.read().decode(errors="replace"), raw)


class _Received:
    """Received bytes, in place of a socket for `http.client`."""

    def __init__(self, received: bytes):
        self._received = received

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._received)


class _Inputs(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}

    @classmethod
    def of(cls, html: str) -> dict[str, str]:
        parser = cls()
        parser.feed(html)
        return parser.fields

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        chosen = said.get("type") != "radio" or "checked" in said
        if tag == "input" and said.get("name") and chosen:
            self.fields[said["name"]] = said.get("value") or ""
