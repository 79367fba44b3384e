"""Dino, a real chat client."""

import sqlite3
import subprocess
import time
from pathlib import Path

from .process import Process
from .server import Server, password_of
from .windows import Windows

TRIES, SENT_SECONDS = 20, 1

# Dino looks for the server at example.org:5222, and believes the machine's certificates alone. So
# it gets a network, /etc/hosts and certificates of its own. A socket in its folder leads out of
# there. With no address but 127.0.0.1, names would not be looked up (AI_ADDRCONFIG).
BEFORE = """
    ip link set lo up
    ip address add 192.0.2.1/32 dev lo
    mount --bind "$HOME/hosts" /etc/hosts
    mount --bind "$HOME/certificates" /etc/ssl/certs/ca-certificates.crt
    socat TCP-LISTEN:5222,bind=127.0.0.1,fork,reuseaddr "UNIX-CONNECT:$HOME/server" &
    """

# An account, and a chat without encryption.
ACCOUNT = "INSERT INTO account (id, bare_jid, resourcepart, password, enabled) VALUES (1, ?, 'dino', ?, 1)"
CHAT = """
    INSERT INTO jid (id, bare_jid) VALUES (1, ?1);
    INSERT INTO conversation (account_id, jid_id, active, last_active, type, encryption, notification, send_typing,
                              send_marker) VALUES (1, 1, 1, unixepoch(), 0, 0, 0, 0, 0)
    """


class Dino(Windows):
    """Dino, logged in as a user of a server with TLS, with a chat open."""

    def __init__(self, server: Server, folder: Path, username: str, address: str):
        """A Dino for this user and a chat with this address, which is not started yet."""
        self.server = server
        self.account = (f"{username}@{server.domain}", password_of(username))
        self.address = address
        super().__init__(folder, "dino-im", f"xmpp:{address}?message", own_network=True, before=BEFORE)

    def __enter__(self) -> "Dino":
        certificate = (self.server.prosody.folder / "certs" / "server.crt").read_text()
        (self.folder / "certificates").write_text(certificate)
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost {self.server.domain}\n")
        self._way_out = Process("socat", ["socat", f"UNIX-LISTEN:{self.folder / 'server'},fork",
                                          f"TCP:127.0.0.1:{self.server.prosody.c2s_port}"], self.folder / "socat.log")
        # A first run creates the files.
        store = self.folder / "dino" / "dino.db"
        with Windows(self.folder, "dino-im", own_network=True, before=BEFORE) as first:
            first.wait_until(lambda: store.exists() and self._tables() > 10, "database")
        (self.folder / "display").unlink()
        with sqlite3.connect(store) as database:
            database.execute(ACCOUNT, self.account)
            for statement in CHAT.split(";"):
                database.execute(statement, (self.address,) if "?" in statement else ())
        super().__enter__()
        # What is written before is sent later, and marked as late.
        self.wait_until(lambda: "Received[c2s]: <presence" in self.server.prosody.log, "presence")
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._way_out.kill()

    def say(self, text: str) -> None:
        """Types a text into the open chat, and sends it."""
        before = len(self._messages(1))
        for _ in range(TRIES):  # at first, there is no text field yet
            self._xdotool("key", "ctrl+a")
            self._xdotool("type", "--delay", "20", text)
            self._xdotool("key", "Return")
            deadline = time.monotonic() + SENT_SECONDS
            while time.monotonic() < deadline:
                if len(self._messages(1)) > before:
                    return
                time.sleep(0.05)
        raise AssertionError(f"Dino does not send {text}\n{self._process.log}")

    def shown(self) -> list[str]:
        """The other side's messages in the open chat so far."""
        return self._messages(0)

    def _messages(self, direction: int) -> list[str]:
        rows = self._select(f"SELECT body FROM message WHERE direction = {direction} ORDER BY id")
        return [body for body, in rows]

    def _tables(self) -> int:
        return len(self._select("SELECT name FROM sqlite_master"))

    def _select(self, statement: str) -> list[tuple]:
        database = sqlite3.connect(f"file:{self.folder / 'dino' / 'dino.db'}?mode=ro", uri=True)
        try:
            return database.execute(statement).fetchall()
        finally:
            database.close()

    def _xdotool(self, *words: str) -> None:
        subprocess.run(["xdotool", *words], env=self.display, check=True, capture_output=True, timeout=10)
