"""The story of scripts/demo: a friend joins by invite, on a throw-away Prosody, with real XMPP traffic."""

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
PASSWORDS = {"alice": "wonderland", "carol": "fireside", "erin": "kites and lamps", "admin": "lighthouse"}

WIDTH = 80
TEXT = " " * 3
DISPLAY = " " * 6
LOG_LINES_SHOWN = 20

BOLD = "\x1b[1m"
BLACK_ON_WHITE = "\x1b[38;5;16;48;5;231m"
PLAIN = "\x1b[0m"


class StoryFailed(Exception):
    """Something went otherwise than the story tells."""


class DemoServer(Server):
    """The throw-away Prosody and the daemon, with users whose passwords are easy to type."""

    def __init__(self, folder: Path):
        """Describes the two."""
        super().__init__(INSTALLED, folder, tls=True, settings=web_settings(path=""))

    def start(self) -> None:
        """Makes the users and starts Prosody and the daemon."""
        for username in ("alice", "admin"):
            self.prosody.adduser(f"{username}@{DOMAIN}", PASSWORDS[username])
        self.prosody.start()
        self.daemon.start()


# ---- what is printed ----

class Page:
    """The terminal, or the file that stands in for it."""

    def __init__(self):
        """Styles are for terminals, and for people who did not ask for none (NO_COLOR)."""
        sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
        self.styled = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self.step = 0
        self.title = "Starting"
        self.fresh = False

    def heading(self, title: str) -> None:
        """A title of its own."""
        self.title = title
        self.fresh = True
        print(f"\n{BOLD}{title}{PLAIN}" if self.styled else f"\n{title}")

    def next_step(self, title: str) -> None:
        """The next step of the story begins."""
        self.step += 1
        self.heading(f"{self.step}. {title}")

    def say(self, text: str) -> None:
        """A paragraph; only the first below a heading has no space above."""
        if not self.fresh:
            print()
        self.fresh = False
        print(textwrap.fill(text, WIDTH, initial_indent=TEXT, subsequent_indent=TEXT, break_on_hyphens=False))

    def show(self, lines: Iterable[str]) -> None:
        """Lines as they are, set off from the text."""
        print()
        self.fresh = False
        for line in lines:
            print(f"{DISPLAY}{line}".rstrip())

    def table(self, *rows: tuple[str, ...]) -> None:
        """Columns, aligned."""
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
        """A line of a QR code in black on white, whatever the terminal's own colours are."""
        part_of_code = set(line) <= set(" ▀▄█") and line
        return f"{BLACK_ON_WHITE}{line}{PLAIN}" if self.styled and part_of_code else line


def columns_that_fit(lines: list[str], width: int) -> int | None:
    """How many characters the whole columns of a table have that fit into this width; None if all of them do."""
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
    """Plays it from the first step to the last."""
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
    page.say("Whoever opens it sees a page that explains what to do. A chat app opens the same invite by its own address:")
    page.show([answer["uri"]])
    page.say(f"It makes one account, until {as_date(answer['expire'])}.")
    return answer["uri"]


def draw(page: Page, server: DemoServer, link: str) -> None:
    """Shows the link as the QR code that the command line draws of it."""
    shown = server.daemon.cli("show", "-", "--qr", input=link)
    code = [line for line in shown.stdout.splitlines() if line.strip() and set(line) <= set(" ▀▄█")]
    if not code:
        raise StoryFailed(f"easy-invite show - --qr drew no QR code: {shown.stderr}")
    page.say("Or, for somebody who stands beside her:")
    page.show(page.as_on_paper(line) for line in code)


async def join(page: Page, server: DemoServer, link: str) -> Conversations:
    """Registers carol with the link, as her chat client does, and logs her in."""
    carol = Conversations(server)
    jid = await carol.redeem(link, "carol", PASSWORDS["carol"])
    await carol.log_in("carol", PASSWORDS["carol"])
    await carol.add_contact(link)
    page.say("She has no account yet. Her chat client reads the link and does the rest:")
    page.table(("shows the token", "accepted"),
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
    """Both have the other as a contact and see them online; a message goes each way."""
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
    """The link has been used: its token is refused, and registering all the same too."""
    page.say("It has made its one account, so his chat client is told:")
    async with await server.connect() as stream:
        token = await refused(stream.preauth(link.token, DOMAIN))
        registration = await refused(stream.registration_set("dave", "secret", DOMAIN))
    await has_no_account(server, "dave")
    page.table(("shows the token", f'"{token}"'),
               ("registers anyway", f'"{registration}"'))


async def try_uninvited(page: Page, server: DemoServer) -> None:
    """Nobody gets in without a token."""
    async with await server.connect() as stream:
        registration = await refused(stream.registration_set("eve", "secret", DOMAIN))
    await has_no_account(server, "eve")
    page.say("She just tries, and her chat client is told:")
    page.table(("registers", f'"{registration}"'))
    page.say("Neither dave nor eve has an account now.")


async def refused(request: Awaitable) -> str:
    """The words with which a request is refused."""
    try:
        await request
    except StanzaError as error:
        return error.text or error.condition
    raise StoryFailed("this should have been refused")


async def has_no_account(server: DemoServer, username: str) -> None:
    """Makes sure that nobody can log in with this name."""
    async with await server.connect() as stream:
        try:
            await stream.authenticate(username, "secret")
        except AuthenticationError:
            return
    raise StoryFailed(f"{username} has an account")


def invite_to_try(page: Page, server: DemoServer) -> None:
    """How to go on with a chat client of one's own."""
    port = server.prosody.c2s_port
    page.heading("Now you")
    made = server.daemon.cli("generate", DOMAIN, "--contact", f"alice@{DOMAIN}", "--uses", "20")
    if made.returncode != 0:
        raise StoryFailed(f"no invite could be made: {made.stderr}")
    page.say("Open alice's invite in the browser of this machine, as a newcomer:")
    page.show([made.stdout.split()[0]])
    page.say("Then, or with one of the users below, log in with your own chat client, on this machine:")
    page.table(("server", f"127.0.0.1, port {port}"),
               ("encryption", "STARTTLS; trust the certificate, which is self-made"),
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
def passing_folder() -> Iterator[Path]:
    """A folder that is removed when this process ends, however it ends."""
    folder = Path(tempfile.mkdtemp(prefix="easy-invite-demo-"))
    # `read` returns when nobody is left who could write. What still writes into the folder then is about to end too.
    remover = subprocess.Popen(["sh", "-c", 'read -r _; rm -rf "$1" || { sleep 1; rm -rf "$1"; }', "sh", folder],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    try:
        yield folder
    finally:
        remover.stdin.close()
        remover.wait()


def show_failure(page: Page, server: DemoServer, error: Exception) -> None:
    """Tells what failed, with the ends of the logs."""
    reason = "\n".join(str(error).splitlines()[:5])
    print(f"\nscripts/demo: \"{page.title}\" failed: {type(error).__name__}: {reason}", file=sys.stderr)
    for program in (server.prosody, server.daemon):
        lines = program.log.splitlines()[-LOG_LINES_SHOWN:]
        print(f"\nThe end of {program.log_file.name}:", *lines, sep="\n", file=sys.stderr)


def play(page: Page, once: bool) -> int:
    """The whole demo; returns the exit code."""
    with passing_folder() as folder:
        server = DemoServer(folder)
        try:
            server.start()
            version = re.search(r"Prosody version (\S+)", server.prosody.log)
            page.heading(f"A friend joins by invite, on Prosody {version[1] if version else '(unknown)'}")
            page.say("All of this happens: with real XMPP traffic, on free ports of 127.0.0.1.")
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
    """Returns when it comes."""
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        print()


def end(number: int, _: object) -> None:
    """Ends the program in good order, for a signal."""
    sys.exit(128 + number)


def main() -> int:
    """Runs the demo; returns the exit code."""
    os.umask(0o077)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    try:
        return play(Page(), "--once" in sys.argv[1:])
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Nobody reads any more, as in `scripts/demo | head`; the interpreter would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
