"""A page that confirms a new password tells the truth,
even if the browser or a server fails before the answer."""

import asyncio
from urllib.parse import urlencode

import pytest

from harness.relay import Relay
from harness.stories import eventually, generate, has_account, password_of
from harness.web import HTML_FORM, Visitor, web_settings

TRIES = 12


@pytest.mark.seconds(120)
async def test_the_browser_goes_away_and_comes_back(make_server):
    server = make_server(settings=web_settings())
    for number in range(TRIES):
        link, password, visitor = generate(server, "--reset", "bob"), f"kites and lamps {number}", Visitor(server)
        form, path = await visitor.filled_in(link, None, password, page="reset"), visitor.path(link, "reset")
        body = urlencode(form).encode()
        cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
        _, writer = await visitor.connect()
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nContent-Type: {HTML_FORM}\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        await asyncio.sleep(number * 0.003)
        writer.transport.abort()
        assert (await visitor.post(path, form)).status == 200
        assert await has_account(server, "bob", password=password), "the page confirmed this password"


@pytest.mark.parametrize("fault", ["the-daemon-is-killed", "prosody-is-killed", "the-wire-is-cut"])
@pytest.mark.seconds(120)
async def test_something_fails_before_the_password_is_set(make_server, fault):
    server = make_server(run_daemon=False, settings=web_settings())
    with Relay(server.prosody.component_port) as relay:
        strike = {"the-daemon-is-killed": server.daemon.kill, "prosody-is-killed": server.prosody.kill,
                  "the-wire-is-cut": relay.cut}[fault]
        server.daemon.config["component"]["server"] = relay.address
        server.daemon.start()
        link, visitor, password = generate(server, "--reset", "bob"), Visitor(server), "kites and lamps"
        form, path = await visitor.filled_in(link, None, password, page="reset"), visitor.path(link, "reset")
        relay.before("<create ", strike)
        first = await relay.struck_during(lambda: visitor.status_of(path, form))
        assert await first in (None, 503), "neither success nor a refusal is reported yet"
        server.revive()
        told = None

        async def is_told():
            nonlocal told
            told = await visitor.status_of(path, form)
            return told not in (None, 503)

        await eventually(is_told, "the page tells the outcome")
        # Nobody can tell whether such a reset was made.
        # The link counts as used, and the page says so.
        assert told in (200, 410)
        assert await has_account(server, "bob", password=password if told == 200 else password_of("bob"))
