"""poezio, a real chat client."""

from pathlib import Path

from .server import Server, password_of
from .terminal import Terminal

# Debian's poezio, which would not run as root.
AS_ROOT = "import os; os.geteuid = lambda: 1000; from poezio.__main__ import run; run()"


class Poezio(Terminal):
    """poezio in a terminal, logged in as a user of a server, which must have TLS."""

    def __init__(self, server: Server, folder: Path, username: str):
        """A poezio for this user, which is not started yet."""
        settings = {"jid": f"{username}@{server.domain}", "password": password_of(username), "custom_host": "127.0.0.1",
                    "custom_port": server.prosody.c2s_port, "ignore_certificate": "true", "use_log": "false",
                    "ca_cert_path": server.prosody.folder / "certs" / "server.crt"}
        config = folder / "poezio.cfg"
        config.write_text("[Poezio]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))
        super().__init__(folder, "/usr/bin/python3", "-c", AS_ROOT, "-f", config)

    async def run_command(self, address: str, name: str, number: int) -> None:
        """Lists the commands of an address, and shows the form of the one with this name in this row."""
        await self.read("Info> Your JID")
        # poezio takes an Enter that comes together with other keys for a part of a pasted text.
        self.press("/")
        await self.read(r"│/\s*$")
        self.write(f"ad-hoc {address}")
        await self.read(f"/ad-hoc {address}")
        self.press("Enter")
        await self.read(rf"{name}\s*\n(?s:.*)Ad-hoc commands of JID {address}")
        self.press(*["Down"] * number)
        while True:
            self.press("Enter")
            try:
                return await self.read("Ctrl\\+Y: send form", 1)
            except AssertionError:
                continue
