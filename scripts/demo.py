"""The story of scripts/demo: a friend joins by invite,
on a throw-away Prosody, with real XMPP traffic."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit("scripts/demo: Python 3.11 or newer is needed, as python3 in $PATH")

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness.clients import NEW_INVITE, Conversations, Link  # noqa: E402
from harness.prosody import INSTALLED  # noqa: E402
from harness.server import Server  # noqa: E402
from harness.stories import Invite  # noqa: E402
from harness.web import Visitor, web_settings  # noqa: E402
from harness.xmpp import AuthenticationError, StanzaError, close_all, form_in, form_values  # noqa: E402

DOMAIN = "example.org"
PASSWORDS = {"alice": "wonderland", "carol": "a chair by the fire", "erin": "kites and lamps", "admin": "lighthouse"}

WIDTH = 80
TEXT = " " * 3
DISPLAY = " " * 6
LOG_LINES_SHOWN = 20

BOLD = "\x1b[1m"
BLACK_ON_WHITE = "\x1b[38;5;16;48;5;231m"
PLAIN = "\x1b[0m"


class StoryFailed(Exception):
    """Something did not happen as in the story."""


class DemoServer(Server):
    """The throw-away Prosody and the daemon, with users whose passwords are easy to type."""

    def __init__(self, folder: Path):
        """Describes the two."""
        super().__init__(INSTALLED, folder, tls=True, settings=web_settings(path=""))

    def start(self) -> None:
        """Creates the users and starts Prosody and the daemon."""
        for username in ("alice", "admin"):
            self.prosody.adduser(f"{username}@{DOMAIN}", PASSWORDS[username])
        self.prosody.start()
        self.daemon.start()


# ---- output ----

class Page:
    """The terminal, or the file in its place."""

    def __init__(self):
        """Uses styles on a terminal, unless NO_COLOR forbids them."""
        sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
        self.styled = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self.step = 0
        self.title = "Starting"
        self.fresh = False

    def heading(self, title: str) -> None:
        """Prints a title."""
        self.title = title
        self.fresh = True
        print(f"\n{BOLD}{title}{PLAIN}" if self.styled else f"\n{title}")

    def next_step(self, title: str) -> None:
        """Begins the next step of the story."""
        self.step += 1
        self.heading(f"{self.step}. {title}")

    def say(self, text: str) -> None:
        """Prints a paragraph. Only the first one below a heading has no space above it."""
        if not self.fresh:
            print()
        self.fresh = False
        print(textwrap.fill(text, WIDTH, initial_indent=TEXT, subsequent_indent=TEXT, break_on_hyphens=False))

    def show(self, lines: Iterable[str]) -> None:
        """Prints lines unchanged, set off from the text."""
        print()
        self.fresh = False
        for line in lines:
            print(f"{DISPLAY}{line}".rstrip())

    def table(self, *rows: tuple[str, ...]) -> None:
        """Prints aligned columns."""
        widths = [max(map(len, column)) for column in zip(*rows)]
        self.show("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows)

    def command(self, server: DemoServer, *arguments: str) -> None:
        """Runs the command line of easy-invite and shows what it prints."""
        done = server.daemon.cli(*arguments)
        if done.returncode != 0:
            raise StoryFailed(f"easy-invite {shlex.join(arguments)} ended with {done.returncode}: {done.stderr}")
        typed = f"$ easy-invite {shlex.join(arguments)}"
        lines = done.stdout.splitlines()
        fitting = columns_that_fit(lines, WIDTH - len(DISPLAY))
        if fitting is not None:
            typed += f" | cut -c -{fitting}"
            lines = [line[:fitting] for line in lines]
        self.show([typed, *(self.as_on_paper(line) for line in lines)])

    def as_on_paper(self, line: str) -> str:
        """A line of a QR code in black on white, whatever the terminal's colours."""
        part_of_code = set(line) <= set(" ▀▄█") and line
        return f"{BLACK_ON_WHITE}{line}{PLAIN}" if self.styled and part_of_code else line


def columns_that_fit(lines: list[str], width: int) -> int | None:
    """The width of the whole columns of a table that fit, or None if all of them do."""
    if max(map(len, lines)) <= width:
        return None
    starts = [match.start() for match in re.finditer(r"(?<=  )\S", lines[0])]
    ends = [start - 2 for start in starts]
    return max((end for end in ends if end <= width), default=width)


def as_date(text: str) -> str:
    """2026-11-30T00:45:57Z, for people."""
    return datetime.fromisoformat(text).strftime("%-d %B %Y, %H:%M UTC")


# ---- the story ----

async def tell(page: Page, server: DemoServer) -> None:
    """Plays the story from the first step to the last."""
    page.next_step("alice makes an invite")
    alice = Conversations(server)
    await alice.log_in("alice", PASSWORDS["alice"])
    link = await new_invite(page, alice)
    draw(page, server, link)

    page.next_step("carol opens alice's link")
    carol = await join(page, server, link)

    page.next_step("alice and carol are contacts, and online")
    await see_each_other(page, alice, carol)

    page.next_step("erin has no chat app, and opens her invite in the browser")
    await join_in_browser(page, server, alice)

    page.next_step("dave opens carol's link")
    await use_it_again(page, server, alice.read_link(link))

    page.next_step("eve has no invite")
    await try_uninvited(page, server)

    page.next_step("The operator looks at the invites")
    page.command(server, "list", "--state", "all")
    await close_all()


async def new_invite(page: Page, alice: Conversations) -> str:
    """Runs New Invite on the server's own address, and returns the link."""
    name = (await alice.stream.commands(DOMAIN))[NEW_INVITE].name
    page.say(f"{DOMAIN} registers nobody without an invite. Its users can make them: alice's chat client finds the "
             f"command \"{name}\" on {DOMAIN}, and runs it. The answer is a link for a friend:")
    address = alice.address_for_invites()
    if address != DOMAIN:
        raise StoryFailed(f"New Invite is at {address}, not on the server's own address")
    answer = form_values(form_in(await alice.stream.execute(address, NEW_INVITE)))
    page.show([answer["landing-url"]])
    page.say("A browser shows a page there, which explains what to do. A chat app opens the same invite by this link:")
    page.show([answer["uri"]])
    page.say(f"The invite makes one account, until {as_date(answer['expire'])}.")
    return answer["uri"]


def draw(page: Page, server: DemoServer, link: str) -> None:
    """Shows the QR code that the command line draws of the link."""
    shown = server.daemon.cli("show", "-", "--qr", input=link)
    code = [line for line in shown.stdout.splitlines() if line.strip() and set(line) <= set(" ▀▄█")]
    if not code:
        raise StoryFailed(f"easy-invite show - --qr drew no QR code: {shown.stderr}")
    page.say("Or, for a friend who stands beside her:")
    page.show(page.as_on_paper(line) for line in code)


async def join(page: Page, server: DemoServer, link: str) -> Conversations:
    """Registers carol by the link, as her chat client does, and logs her in."""
    carol = Conversations(server)
    jid = await carol.redeem(link, "carol", PASSWORDS["carol"])
    await carol.log_in("carol", PASSWORDS["carol"])
    await carol.add_contact(link)
    page.say("She has no account yet. Her chat client reads the link and does the rest:")
    page.table(("presents the token", "accepted"),
               ("registers", f"{jid} is hers"),
               ("logs in", "online"))
    return carol


async def join_in_browser(page: Page, server: DemoServer, alice: Conversations) -> None:
    """alice makes another invite, and erin registers on its page as her browser would."""
    invite = Invite((await alice.create_invite()).uri)
    erin = Visitor(server, headers={"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"})
    landing = await erin.get(erin.path(invite))
    welcome = await erin.register(invite, "erin", PASSWORDS["erin"])
    if welcome.status != 200 or f"erin@{DOMAIN}" not in welcome.text:
        raise StoryFailed(f"erin should be welcome; the page says: {welcome.heading}")
    page.say("She registers there, and logs in with any app afterwards:")
    page.table(("the page says", f'"{landing.heading}"'),
               ("she fills in the form", f'"{welcome.heading}"'))
    contact = (await alice.stream.roster()).get(f"erin@{DOMAIN}")
    if contact is None or contact.subscription != "both":
        raise StoryFailed(f"erin should be a contact of alice, subscribed both ways; it is {contact}")
    page.say("She and alice are contacts already.")


async def see_each_other(page: Page, alice: Conversations, carol: Conversations) -> None:
    """Checks that each has the other as a contact and sees them online.
    Sends a message each way."""
    rows = [("contact list of", "contact", "subscription", "status")]
    for user, friend in ((alice, carol), (carol, alice)):
        contact = (await user.stream.roster()).get(friend.jid)
        if contact is None or contact.subscription != "both":
            raise StoryFailed(f"{friend.jid} should be a contact of {user.jid}, subscribed both ways; it is {contact}")
        await user.stream.presence_from(friend.jid)
        rows.append((user.jid, friend.jid, contact.subscription, "online"))
    page.say("Neither had to ask the other, or to confirm:")
    page.table(*rows)
    page.say("They talk:")
    page.table(await message(carol, alice, "Hi alice, your link worked!"),
               await message(alice, carol, "Welcome, carol."))


async def message(sender: Conversations, recipient: Conversations, body: str) -> tuple[str, str]:
    """Sends a message, and returns it as it arrived."""
    sender.stream.send_message(recipient.jid, body)
    arrived = await recipient.stream.expect_stanza("message", sender=sender.jid)
    return sender.jid, arrived.findtext("{jabber:client}body")


async def use_it_again(page: Page, server: DemoServer, link: Link) -> None:
    """The invite is used up: its token is refused, and so is registering anyway."""
    page.say("The invite has made its one account, so his chat client is told:")
    async with await server.connect() as stream:
        token = await refused(stream.preauth(link.token, DOMAIN))
        registration = await refused(stream.registration_set("dave", "secret", DOMAIN))
    await has_no_account(server, "dave")
    page.table(*sentences("presents the token", token), *sentences("registers anyway", registration))


async def try_uninvited(page: Page, server: DemoServer) -> None:
    """Without a token, nobody gets in."""
    async with await server.connect() as stream:
        registration = await refused(stream.registration_set("eve", "secret", DOMAIN))
    await has_no_account(server, "eve")
    page.say("She just tries, and her chat client is told:")
    page.table(*sentences("registers", registration))
    page.say("Neither dave nor eve has an account now.")


def sentences(what: str, told: str) -> list[tuple[str, str]]:
    """Rows that say what a client is told, with a sentence in each."""
    first, *others = f'"{told}"'.replace(". ", ".\n").splitlines()
    return [(what, first), *(("", other) for other in others)]


async def refused(request: Awaitable) -> str:
    """The words of a refusal."""
    try:
        await request
    except StanzaError as error:
        return error.text or error.condition
    raise StoryFailed("this was not refused")


async def has_no_account(server: DemoServer, username: str) -> None:
    """Makes sure that nobody can log in with this username."""
    async with await server.connect() as stream:
        try:
            await stream.authenticate(username, "secret")
        except AuthenticationError:
            return
    raise StoryFailed(f"{username} has an account")


def invite_to_try(page: Page, server: DemoServer) -> None:
    """Tells how to go on with a chat client."""
    port = server.prosody.c2s_port
    page.heading("Now you")
    made = server.daemon.cli("generate", DOMAIN, "--contact", f"alice@{DOMAIN}", "--uses", "20")
    if made.returncode != 0:
        raise StoryFailed(f"no invite could be made: {made.stderr}")
    page.say("Open alice's invite in the browser of this machine, as a newcomer:")
    page.show([made.stdout.split()[0]])
    page.say("Then, or with one of the users below, log in with your own chat client, on this machine:")
    page.table(("server", f"127.0.0.1, port {port}"),
               ("encryption", "STARTTLS; accept the self-signed certificate"),
               *((f"{username}@{DOMAIN}", f"password {password}") for username, password in PASSWORDS.items()))
    page.say("admin, as an administrator of the server, has more commands than the others.")
    page.say("In profanity, for example:")
    page.show([f"/connect alice@{DOMAIN} server 127.0.0.1 port {port} tls trust",
               f"/cmd list {DOMAIN}",
               f"/cmd exec {NEW_INVITE} {DOMAIN}"])
    page.say("The operator's side:")
    page.show([f"cd {server.daemon.folder}", f"{server.daemon.binary} list --state all", "tail daemon.log"])
    page.say("Ctrl-C ends both servers and removes everything.")


# ---- from start to end ----

@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed when this process ends, in any case."""
    folder = Path(tempfile.mkdtemp(prefix="easy-invite-demo-"))
    # `read` returns when the last process that could write to it has ended.
    # The servers end then, too.
    remover = subprocess.Popen(["sh", "-c", 'read -r _; rm -rf "$1" || { sleep 1; rm -rf "$1"; }', "sh", folder],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    try:
        yield folder
    finally:
        remover.stdin.close()
        remover.wait()


def show_failure(page: Page, server: DemoServer, error: Exception) -> None:
    """Reports what failed, with the ends of the logs."""
    reason = "\n".join(str(error).splitlines()[:5])
    print(f"\nscripts/demo: \"{page.title}\" failed: {type(error).__name__}: {reason}", file=sys.stderr)
    for program in (server.prosody, server.daemon):
        lines = program.log.splitlines()[-LOG_LINES_SHOWN:]
        print(f"\nThe end of {program.log_file.name}:", *lines, sep="\n", file=sys.stderr)


def play(page: Page, once: bool) -> int:
    """Runs the whole demo. Returns the exit code."""
    with temporary_folder() as folder:
        server = DemoServer(folder)
        try:
            server.start()
            version = re.search(r"Prosody version (\S+)", server.prosody.log)
            page.heading(f"A friend joins by invite, on Prosody {version[1] if version else '(unknown)'}")
            page.say("All of this really happens, with XMPP traffic on free ports of 127.0.0.1.")
            asyncio.run(tell(page, server))
            if not once:
                invite_to_try(page, server)
                wait_for_ctrl_c()
        except BrokenPipeError:
            raise
        except Exception as error:
            show_failure(page, server, error)
            return 1
        finally:
            server.stop()
    print("\nDone. Both servers have ended, and their folder is gone.")
    return 0


def wait_for_ctrl_c() -> None:
    """Returns at Ctrl-C."""
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        print()


def end(number: int, _: object) -> None:
    """Ends the program at a signal, and removes everything."""
    sys.exit(128 + number)


def main() -> int:
    """Runs the demo. Returns the exit code."""
    os.umask(0o077)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    try:
        return play(Page(), "--once" in sys.argv[1:])
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader has gone, as in `scripts/demo | head`. Python would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
