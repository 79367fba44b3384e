"""profanity, a real chat client."""

from pathlib import Path

from .server import Server, password_of
from .terminal import Terminal


class Profanity(Terminal):
    """profanity in a terminal."""

    def __init__(self, server: Server, folder: Path):
        """A profanity for logging in to this server, which must have TLS."""
        super().__init__(folder, "profanity")
        self.server = server

    async def log_in(self, username: str) -> None:
        """Connects as a user of the server."""
        await self.read(r"Type '/help'")
        port = self.server.prosody.c2s_port
        self.type(f"/connect {username}@{self.server.domain} server 127.0.0.1 port {port} tls trust")
        await self.read("Enter password:")
        self.type(password_of(username))
        await self.read("logged in successfully")
        # profanity runs commands only after it has learnt that the server has them.
        self.type("/disco info")
        await self.read("http://jabber.org/protocol/commands")
