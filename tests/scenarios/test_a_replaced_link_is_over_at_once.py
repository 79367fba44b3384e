"""When an invite gets a new link, the old one is over as soon as the answer is given, even for a
session or a form that has presented it already. A registration that has begun before may finish."""

import asyncio
import itertools
import random
import subprocess
import time

import pytest

from harness.server import password_of
from harness.stories import (events, generate, has_account, in_store, regenerate, register, requests_to, revoke, show,
                             used)
from harness.web import Visitor, text
from harness.xmpp import StanzaError, preauth_element

NEWER = "This invitation has a newer link. Please ask for it"
GROUP = 20  # sessions at a time
IN_BULK = 10  # seconds
KILLS = 30


async def test_for_a_session_that_presents_it_later_which_is_no_guess(web_server):
    old = generate(web_server, "--uses", "unlimited")
    new = regenerate(web_server, old)
    for number in range(30):
        with pytest.raises(StanzaError, match=f"cancel/item-not-found: {NEWER}"):
            await register(web_server, f"late-{number}", old)
    await register(web_server, "punctual", new)
    await used(web_server, new)


@pytest.mark.parametrize("options", [[], ["--contact", "alice@example.org"], ["--uses", "unlimited"],
                                     ["--username", "olivia"], ["--expires", "never"]], ids=" ".join)
async def test_for_a_session_that_has_presented_it(web_server, options):
    old = generate(web_server, *options)
    stream = await web_server.connect()
    await stream.preauth(old.token)
    new = regenerate(web_server, old)
    with pytest.raises(StanzaError, match=f"modify/not-acceptable: {NEWER}"):
        await stream.registration_set("olivia", password_of("olivia"))
    assert not await has_account(web_server, "olivia")
    shown = show(web_server, new)
    assert (shown["state"], shown["uses"], shown["links"]) == ("pending", 0, 2)
    revoke(web_server, new)


async def test_for_a_session_that_has_presented_a_reset_link(web_server):
    old = generate(web_server, "--reset", "bob")
    stream = await web_server.connect()
    await stream.preauth(old.token)
    new = regenerate(web_server, old)
    with pytest.raises(StanzaError, match=f"modify/not-acceptable: {NEWER}"):
        await stream.registration_set("bob", "a new password")
    assert await has_account(web_server, "bob")
    revoke(web_server, new)


async def test_for_a_contact_request(web_server):
    await register(web_server, "inga", generate(web_server))
    await register(web_server, "igor", generate(web_server))
    old = generate(web_server, "--contact", "inga@example.org", "--contact-only")
    new = regenerate(web_server, old)
    async with await web_server.login("inga") as inga, await web_server.login("igor") as igor:
        igor.send(f"<presence type='subscribe' to='inga@example.org'>{preauth_element(old.token)}</presence>")
        await inga.presence_from("igor@example.org", "subscribe")
        assert await requests_to(web_server, "inga") == {"igor@example.org"}, "the user is asked"
        igor.send(f"<presence type='subscribe' to='inga@example.org'>{preauth_element(new.token)}</presence>")
        await igor.presence_from("inga@example.org", "subscribed")
    await used(web_server, new)


async def test_in_a_browser(web_server):
    old, visitor = generate(web_server, "--uses", "5"), Visitor(web_server)
    done = await visitor.filled_in(old, "bella")
    assert (await visitor.post(visitor.path(old, "register"), done)).status == 200
    late = Visitor(web_server)
    form = await late.filled_in(old, "basil")
    new = regenerate(web_server, old)
    for answer in [await late.post(late.path(old, "register"), form), *[await late.get(late.path(old, page))
                                                                       for page in ("", "register", "apps")]]:
        assert (answer.status, answer.heading) == (410, text("replaced"))
        assert text("replaced_text") in answer.text
    assert not await has_account(web_server, "basil")
    again = await visitor.post(visitor.path(old, "register"), done)
    assert (again.status, again.heading) == (200, text("welcome", account="bella@example.org")), "it was in time"
    assert (await late.register(new, "basil")).status == 200
    revoke(web_server, new)
    gone = await late.get(late.path(old))
    assert (gone.status, gone.heading) == (410, text("revoked")), "there is no newer link to ask for"


@pytest.mark.every_setup
@pytest.mark.parametrize("end", [regenerate, revoke], ids=lambda end: end.__name__)
async def test_for_all_that_begin_after_the_answer(web_server, end):
    """As many as fit into some seconds, by clients and browsers. tests/store.rs has ten thousand."""
    invite, kind = generate(web_server, "--uses", "unlimited"), end.__name__
    streams = [await web_server.connect() for _ in range(4 * GROUP)]
    await asyncio.gather(*[stream.preauth(invite.token) for stream in streams])
    browsers = [Visitor(web_server) for _ in range(GROUP)]
    forms = [await browser.filled_in(invite, f"{kind}-b{number}") for number, browser in enumerate(browsers)]
    answered, outcomes = asyncio.Event(), []

    async def client(number):
        begun_after = answered.is_set()
        try:
            await streams[number].registration_set(f"{kind}-c{number}", password_of(f"{kind}-c{number}"))
            outcomes.append((f"{kind}-c{number}", begun_after, True))
        except StanzaError as refusal:
            assert refusal.condition == "not-acceptable", refusal
            outcomes.append((f"{kind}-c{number}", begun_after, False))

    async def browser(number):
        begun_after = answered.is_set()
        answer = await browsers[number].post(browsers[number].path(invite, "register"), forms[number])
        assert answer.status in (200, 410), answer.text
        outcomes.append((f"{kind}-b{number}", begun_after, answer.status == 200))

    async def ender():
        await asyncio.to_thread(end, web_server, invite)
        answered.set()

    before = [client(number) for number in range(GROUP)] + [browser(number) for number in range(GROUP // 2)]
    await asyncio.gather(*before, ender())
    await asyncio.gather(*[client(number) for number in range(GROUP, len(streams))],
                         *[browser(number) for number in range(GROUP // 2, GROUP)])
    deadline, tries = time.monotonic() + IN_BULK, 0
    while not tries or time.monotonic() < deadline:
        told = await asyncio.gather(*[refused(web_server, f"{kind}-l{tries + number}", invite)
                                      for number in range(GROUP)])
        assert all(told)
        tries += GROUP
    late = [name for name, begun_after, _ in outcomes if begun_after]
    assert len(late) >= 3 * GROUP
    for name, begun_after, registered in outcomes:
        assert not (begun_after and registered), name
    assert in_store(web_server, "SELECT count(*) FROM account WHERE invite = ?", show(web_server, invite)["id"]) == [
        (sum(registered for *_, registered in outcomes),)]
    for name in random.sample(late, 3):
        assert not await has_account(web_server, name)


async def refused(server, username, invite):
    """Whether a registration on a new stream is refused."""
    try:
        await register(server, username, invite)
    except StanzaError as refusal:
        return refusal.condition == "item-not-found"
    return False


@pytest.mark.every_setup
@pytest.mark.seconds(120)
async def test_and_no_kill_makes_a_link_that_was_printed_worthless(web_server):
    daemon, invite = web_server.daemon, generate(web_server, "--uses", "unlimited")
    id, newest, printed = show(web_server, invite)["id"], invite, 0
    usual = 0.0  # seconds of a command
    for number in itertools.count():
        if number >= KILLS and 0 < printed < number:  # on a busy machine, it may take more to have both
            break
        command = [daemon.binary, "--config", daemon.config_file, "regenerate", id]
        with subprocess.Popen(command, cwd=daemon.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True) as running:
            await asyncio.sleep(random.uniform(0, 3 * usual))
            running.kill()
            lines = [line for line in running.stdout.read().splitlines() if line.startswith("xmpp:")]
        begun = time.monotonic()
        links = show(web_server, invite)["links"]
        usual = time.monotonic() - begun  # on this machine, at this moment
        if lines:
            printed += 1
            newest = type(invite)(lines[0])
            stream = await web_server.connect()
            await stream.preauth(newest.token)
            await stream.close()
        assert links == 1 + len([event for event in events(web_server, "--invite", id)
                                 if event["action"] == "regenerated"]), "each is in the log of events, once"
    last = regenerate(web_server, invite)
    for old in {invite, newest}:
        assert await refused(web_server, "nobody", old)
    await register(web_server, "survivor", last)
