"""In real chat apps that know nothing of invites, users see theirs, get a new link, change one and
revoke it. The old links register nobody."""

import asyncio
import contextlib
import functools
import http.server
import os
import re
import threading
from pathlib import Path

import pytest

from harness.chromium import chromium
from harness.gajim import Gajim
from harness.poezio import Poezio
from harness.process import PATIENCE
from harness.profanity import Profanity
from harness.server import password_of
from harness.slixmpp_client import logged_in
from harness.stories import INVITE_WITH_OPTIONS, MY_INVITES, Invite, fill_in, register, show
from harness.xmpp import StanzaError

HOST = "example.org"

# The wishes that users choose from, as forms have them.
LABELS = {"show": "Show details", "regenerate": "Get a new link: the old one stops working",
          "change": "Change note, end or uses", "revoke": "Revoke it"}


class InProfanity:
    """A user types into profanity."""

    options = {"tls": True}

    def __init__(self, server, folder):
        self.profanity = Profanity(server, folder)

    async def __aenter__(self):
        self.profanity.__enter__()
        await self.profanity.log_in("alice")
        return self

    async def __aexit__(self, *how):
        self.profanity.__exit__(*how)

    async def choose(self, label, action):
        self.profanity.type("/win 1")
        self.profanity.type(f"/cmd exec {MY_INVITES} {HOST}")
        value = (await self.profanity.read(rf"\[field1\] Invitation:\s*\n.*\[(\w+)\] {label} ·")).group(1)
        self.profanity.type(f"/field1 {value}")
        self.profanity.type(f"/field2 {action}")
        await self.profanity.read(r"(?s)Field updated.*\[field1\].*Field updated.*\[field2\].*\[revoke\]")
        self.profanity.type("/form submit")

    async def write_note(self, note):
        await self.profanity.read(r"\[field1\] Note for yourself")
        self.profanity.type(f'/field1 "{note}"')
        await self.profanity.read(rf"Field updated(?s:.*)\[field1\] Note for yourself.*: {note}")
        self.profanity.type("/form submit")

    async def read(self, pattern):
        return await self.profanity.read(pattern)

    async def read_note(self, pattern):
        self.profanity.type("/win 1")
        return await self.profanity.read(pattern)


class InPoezio:
    """A user presses keys in poezio."""

    options = {"tls": True}

    def __init__(self, server, folder):
        self.server, self.folder, self.poezio = server, folder, None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *how):
        if self.poezio:
            self.poezio.__exit__(*how)

    async def choose(self, label, action):
        await self.__aexit__(None, None, None)  # its tabs of finished commands stay open
        self.folder = self.folder / "next"
        self.folder.mkdir()
        self.poezio = Poezio(self.server, self.folder, "alice").__enter__()
        await self.poezio.run_command(f"invite.{HOST}", "My Invites", 2)
        await self.poezio.read(rf"Invitation +←? *{label}")
        await self.poezio.read(r"What to do +Show details")
        self.poezio.press("Down", *["Right"] * list(LABELS).index(action))
        await self.poezio.read(rf"What to do +←? *{LABELS[action]}")
        self.poezio.press("C-y")

    async def write_note(self, note):
        await self.poezio.read(r"Note for yourself +for Carol")
        self.poezio.press("C-k", "C-u")
        self.poezio.write(note)
        await self.poezio.read(rf"Note for yourself +.*{note}")
        self.poezio.press("C-y")

    async def read(self, pattern):
        return await self.poezio.read(pattern)

    read_note = read


class InGajim:
    """A user clicks in Gajim."""

    options = {}

    def __init__(self, server, folder):
        self.gajim = Gajim(server, folder, "alice", f"invite.{HOST}")

    async def __aenter__(self):
        self.gajim.__enter__()
        self.gajim.do(commands=HOST)
        return self

    async def __aexit__(self, *how):
        self.gajim.__exit__(*how)

    async def choose(self, label, action):
        if action != "regenerate":  # the first one
            self.gajim.do(press="commands")
        self.gajim.do(run="My Invites")
        self.gajim.do(fill_in={"invite": label, "action": LABELS[action]})
        self.gajim.do(press="complete")

    async def write_note(self, note):
        await self.gajim.read("Note for yourself")
        self.gajim.do(fill_in={"note": note})
        self.gajim.do(press="complete")

    async def read(self, pattern):
        return await self.gajim.read(pattern)

    read_note = read


class InConverse:
    """A user clicks in Converse.js, in a browser."""

    options = {"http": True, "modules": [*"disco roster saslauth ping register websocket".split()],
               "global_lines": 'consider_websocket_secure = true\nhttp_default_host = "example.org"\n'
                               'cross_domain_websocket = true\n'}

    def __init__(self, server, folder):
        self.server, self.folder, self.stack = server, folder, contextlib.AsyncExitStack()

    async def __aenter__(self):
        dist = Path(os.environ["EASY_INVITE_NODE_PACKAGES"]) / "converse.js" / "dist"
        (self.folder / "dist").symlink_to(dist)
        socket = f"ws://127.0.0.1:{self.server.prosody.http_port}/xmpp-websocket"
        (self.folder / "index.html").write_text(f"""<!DOCTYPE html><meta charset="utf-8">
            <link rel="stylesheet" href="dist/converse.min.css"><body><div id="commands"></div>
            <script type="module">
              import "./dist/converse.min.js";
              window.converse.plugins.add("test", {{ initialize() {{
                const {{ api }} = this._converse;
                api.listen.on("connected", () => {{
                  const form = document.createElement("converse-adhoc-commands");
                  document.getElementById("commands").append(form);
                }});
              }} }});
              window.converse.initialize({{
                authentication: "login", auto_login: true, jid: "alice@{HOST}",
                password: {password_of("alice")!r}, websocket_url: "{socket}",
                discover_connection_methods: false, whitelisted_plugins: ["test"], view_mode: "embedded",
                assets_path: "/dist/", loglevel: "error", clear_cache_on_logout: true, i18n: "en",
                allow_non_roster_messaging: true, persistent_store: "none",
              }});
            </script>""")
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=self.folder)
        handler.log_message = lambda *_: None
        pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        self.stack.callback(pages.shutdown)
        browser = await self.stack.enter_async_context(chromium())
        self.page = await browser.new_page()
        await self.page.goto(f"http://127.0.0.1:{pages.server_port}/index.html")
        return self

    async def __aexit__(self, *how):
        await self.stack.__aexit__(*how)

    async def choose(self, label, action):
        await self.page.reload()
        await self.page.locator("input[name=jid]").fill(HOST)
        await self.page.get_by_role("button", name="List available commands").click()
        await self.page.get_by_text("My Invites", exact=True).click()
        await self.page.locator("select[name=invite]").select_option(
            label=await self.page.locator(f"select[name=invite] option:has-text('{label}')").inner_text())
        await self.page.locator("select[name=action]").select_option(action)
        await self.page.locator("input[data-action=complete]").click()

    async def write_note(self, note):
        await self.page.locator("input[name=note]").fill(note)
        await self.page.locator("input[data-action=complete]").click()

    async def read(self, pattern):
        for _ in range(PATIENCE * 10):
            inputs = await self.page.eval_on_selector_all("input, select", "all => all.map(it => it.value)")
            shown = "\n".join([await self.page.inner_text("body"), *inputs])
            if found := re.search(pattern, shown):
                return found
            await asyncio.sleep(0.1)
        raise AssertionError(f"Converse does not show {pattern}, but\n{shown}")

    read_note = read


class InSlixmpp:
    """A program on slixmpp, which always submits with the action "next"."""

    options = {}

    def __init__(self, server, folder):
        self.server = server

    async def __aenter__(self):
        self.session = logged_in(self.server, "alice", ("xep_0004", "xep_0030", "xep_0050"))
        self.client = await self.session.__aenter__()
        self.stages = asyncio.Queue()
        return self

    async def __aexit__(self, *how):
        await self.session.__aexit__(*how)

    def stage(self, iq, session):
        self.stages.put_nowait((iq, session))

    def submit(self, iq, session, values):
        form = iq["command"]["form"]
        form.set_type("submit")
        form.set_values({**form.get_values(), **values})
        session["payload"], session["next"] = form, self.stage
        self.client.plugin["xep_0050"].continue_command(session, direction="next")

    async def choose(self, label, action):
        self.client.plugin["xep_0050"].start_command(HOST, MY_INVITES, {"next": self.stage, "error": self.stage})
        iq, session = await asyncio.wait_for(self.stages.get(), PATIENCE)
        options = iq["command"]["form"].get_fields()["invite"]["options"]
        invite, = [option["value"] for option in options if label in option["label"]]
        self.submit(iq, session, {"invite": invite, "action": action})

    async def write_note(self, note):
        self.submit(*await asyncio.wait_for(self.stages.get(), PATIENCE), {"note": note})

    async def read(self, pattern):
        iq, _ = await asyncio.wait_for(self.stages.get(), PATIENCE)
        assert iq["command"]["status"] == "completed"
        shown = "\n".join(iq.xml.itertext())
        found = re.search(pattern, shown)
        assert found, f"instead of {pattern}: {shown}"
        return found

    read_note = read


@pytest.mark.one_setup
@pytest.mark.seconds(90)
@pytest.mark.parametrize("client", [InProfanity, InPoezio, InGajim, InConverse, InSlixmpp], ids=lambda it: it.__name__)
async def test_an_invite_is_renewed_changed_shown_and_revoked(make_server, tmp_path, client):
    server = make_server(**client.options)
    alice = await server.login("alice")
    old = await fill_in(alice, INVITE_WITH_OPTIONS, {"note": "for Carol"})
    async with client(server, tmp_path) as app:
        await app.choose("for Carol", "regenerate")
        new = Invite((await app.read(r"(xmpp:\S+?;ibr=y)")).group(1))
        assert new.token != old.token
        with pytest.raises(StanzaError, match="item-not-found"):
            await register(server, "carol", old)

        await app.choose("for Carol", "change")
        await app.write_note("for Dave")
        await app.read_note(r"Saved: for Dave · 0 of 1 used · until \d+ \w+ \d+")
        assert show(server, new)["note"] == "for Dave"

        await app.choose("for Dave", "show")
        await app.read("pending")
        await app.choose("for Dave", "revoke")
        await app.read_note("“for Dave” has been revoked")
        with pytest.raises(StanzaError, match="item-not-found"):
            await register(server, "carol", new)
