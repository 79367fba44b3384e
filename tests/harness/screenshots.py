"""Takes pictures of the pages for the docs: `python -m harness.screenshots FOLDER`.
See scripts/screenshots."""

import asyncio
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from .chromium import DESKTOP, PHONE, chromium, fill_in, open_page
from .prosody import INSTALLED
from .server import Server
from .stories import in_store
from .web import web_settings

# So many colours are enough for text and flat areas, and keep the files small.
COLOURS = 64


async def take(server: Server, folder: Path) -> None:
    """Takes a picture of each page, on a phone and on a computer, in light and in dark."""
    url, ended = (server.daemon.cli("generate", "example.org", "--contact", "alice@example.org", "--uses", "10").stdout
                  .split()[0] for _ in range(2))
    server.daemon.cli("revoke", ended)
    in_store(server, "UPDATE invite SET inviter_name = 'Alice'")
    usernames = iter(("carol", "dora", "erin", "frank"))
    async with chromium() as browser:
        for name, device, size in (("phone", "android", PHONE), ("computer", "windows", DESKTOP)):
            for scheme in ("light", "dark"):
                async def show(what: str, page) -> None:
                    picture = Image.open(io.BytesIO(await page.screenshot(full_page=name == "phone")))
                    few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
                    few.save(folder / f"{what}-{name}-{scheme}.png", optimize=True)

                window = {"device": device, "size": size, "scheme": scheme}
                await show("landing", await open_page(browser, url, **window))
                page = await open_page(browser, f"{url}/register", **window)
                await show("register", page)
                await fill_in(page, username=next(usernames), password="kites and lamps")
                await show("welcome", page)
                await show("notice", await open_page(browser, ended, **window))


def main() -> None:
    """Starts a server and takes the pictures."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        with Server(INSTALLED, Path(scratch), settings=web_settings(path="", name="Example Chat")) as server:
            asyncio.run(take(server, folder))


if __name__ == "__main__":
    main()
