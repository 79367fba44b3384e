"""nginx and Caddy refuse some requests themselves, before they know which site the requests belong
to. With the samples in docs/web.md and docs/moving.md, their logs do not have the tokens of such
requests either. The rest of a site is logged as before."""

import asyncio
import contextlib
import re
import shutil
import ssl

import pytest

from harness.process import PATIENCE, free_port
from harness.proxies import DOCS, Caddy, CaddyBesideProsody, Nginx, NginxBesideProsody, OldCaddy, OldNginx
from harness.stories import eventually

pytestmark = pytest.mark.one_setup

TOKEN = "Ky3v9QmT0ZxLbN7cR2dWfG5h"
LARGE = "x" * 40_000


def requests(page, host):
    """Requests for a page that a proxy may refuse, by what is wrong with them."""
    start, end = f"GET {page} HTTP/1.1\r\n", "Connection: close\r\n\r\n"
    about_host = f"Host: {host}\r\n"
    return {
        "cookies of 40 kB": f"{start}{about_host}Cookie: a={LARGE}\r\n{end}",
        "cookies of 40 kB before the host": f"{start}Cookie: a={LARGE}\r\n{about_host}{end}",
        "cookies of 2 MB": f"{start}{about_host}" + f"Cookie: a={LARGE}\r\n" * 50 + end,
        "a second host": f"{start}{about_host}{about_host}{end}",
        "another second host": f"{start}{about_host}Host: elsewhere.example\r\n{end}",
        "no host": f"{start}{end}",
        "a host with a space": f"{start}Host: a b\r\n{end}",
        "an address of 40 kB": f"GET {page}?{LARGE} HTTP/1.1\r\n{about_host}{end}",
        "an address of 2 MB": f"GET {page}?{LARGE * 50} HTTP/1.1\r\n{about_host}{end}",
        "a bad escape": f"GET {page}%zz HTTP/1.1\r\n{about_host}{end}",
        "a NUL": f"GET {page}%00 HTTP/1.1\r\n{about_host}{end}",
        "a bare NUL": f"GET {page}\0 HTTP/1.1\r\n{about_host}{end}",
        "a way out of the root": f"GET {page}/../../../../../../x HTTP/1.1\r\n{about_host}{end}",
        "a whole address": f"GET https://{host}{page} HTTP/1.1\r\n{about_host}Cookie: a={LARGE}\r\n{end}",
        "two slashes": f"GET /{page} HTTP/1.1\r\n{about_host}Cookie: a={LARGE}\r\n{end}",
        "an escaped letter": f"GET {page.replace('i', '%69')} HTTP/1.1\r\n{about_host}Cookie: a={LARGE}\r\n{end}",
        "an unknown version": f"GET {page} HTTP/9.9\r\n{about_host}{end}",
        "no version": f"GET {page}\r\n",
        "TRACE": f"TRACE {page} HTTP/1.1\r\n{about_host}{end}",
        "a tunnel": f"CONNECT {page} HTTP/1.1\r\n{about_host}{end}",
        "a bad length": f"POST {page} HTTP/1.1\r\n{about_host}Content-Length: x\r\n{end}",
        "two lengths": f"POST {page} HTTP/1.1\r\n{about_host}Content-Length: 1\r\nContent-Length: 2\r\n{end}x",
        "a length and pieces": f"POST {page} HTTP/1.1\r\n{about_host}Content-Length: 1\r\n"
                               f"Transfer-Encoding: chunked\r\n{end}x",
        "bad pieces": f"POST {page} HTTP/1.1\r\n{about_host}Transfer-Encoding: chunked\r\n{end}zz\r\n",
        "a body of 40 kB": f"POST {page} HTTP/1.1\r\n{about_host}Content-Length: {len(LARGE)}\r\n{end}{LARGE}",
        "an expectation": f"POST {page} HTTP/1.1\r\n{about_host}Expect: nonsense\r\nContent-Length: 1\r\n{end}x",
        "a header without a colon": f"{start}{about_host}nonsense\r\n{end}",
        "a header with a space": f"{start}{about_host}A b: c\r\n{end}",
        "a range": f"{start}{about_host}Range: bytes=9-1\r\n{end}",
        "a request that is given up": f"POST {page} HTTP/1.1\r\n{about_host}Content-Length: 9\r\n\r\n",
    }


@pytest.mark.seconds(120)
@pytest.mark.parametrize("path", ["", "/join"], ids=["own-name", "below-a-path"])
@pytest.mark.parametrize("kind", [Nginx, Caddy], ids=["nginx", "caddy"])
async def test_whatever_is_wrong_with_it(tmp_path, kind, path):
    with kind(tmp_path, path, f"127.0.0.1:{free_port()}") as proxy:
        await keeps_to_itself(proxy, requests(f"{path}/i/{TOKEN}/register", proxy.name))


@pytest.mark.parametrize("kind", [OldNginx, OldCaddy, NginxBesideProsody, CaddyBesideProsody])
async def test_whatever_is_wrong_with_an_old_link(tmp_path, kind):
    with kind(tmp_path, "", f"127.0.0.1:{free_port()}", name="example.org") as proxy:
        page = "/register?t={}&c=x" if kind in (OldCaddy, NginxBesideProsody) else "/invites_page?{}"
        await keeps_to_itself(proxy, requests(page.format(TOKEN), proxy.name))


@pytest.mark.parametrize("path", ["", "/join"], ids=["own-name", "below-a-path"])
@pytest.mark.parametrize("kind", [Nginx, Caddy], ids=["nginx", "caddy"])
async def test_nor_when_the_daemon_answers_nonsense(tmp_path, kind, path):
    answers = [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", b"nonsense\r\n\r\n",
               b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2_000_000, b"HTTP/1.1 101 Switching Protocols\r\n\r\n"]
    async with answering(answers) as (address, seen):
        with kind(tmp_path, path, address) as proxy:
            await keeps_to_itself(proxy, dict.fromkeys(map(str, range(len(answers))), visit(proxy)))
    await eventually(lambda: seen == answers, "all have been given")


@pytest.mark.parametrize("path", ["", "/join"], ids=["own-name", "below-a-path"])
async def test_nor_when_nginx_cannot_write_to_its_disk(tmp_path, path):
    async with answering([b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 20_000_000]) as (address, seen):
        with Nginx(tmp_path, path, address) as proxy:
            shutil.rmtree(tmp_path / "proxy")
            await keeps_to_itself(proxy, {"a page that does not fit into its memory": visit(proxy)})
    assert seen


async def test_nor_on_the_ports_for_http(tmp_path):
    with Nginx(tmp_path, "", f"127.0.0.1:{free_port()}") as proxy:
        page = f"GET /i/{TOKEN} HTTP/1.1\r\nHost: {proxy.name}\r\nConnection: close\r\n\r\n"
        assert b"301" in await said(proxy.plain_port, None, page, PATIENCE)
        assert b"400" in await said(proxy.port, None, page, PATIENCE), "plain HTTP on the port for HTTPS"
        for request in requests(f"/i/{TOKEN}", proxy.name).values():
            await said(proxy.plain_port, None, request)
        assert TOKEN not in proxy.logs


@pytest.mark.seconds(120)
async def test_nor_in_the_access_log_of_a_site_of_caddys(tmp_path):
    proxy = Caddy(tmp_path, "/join", f"127.0.0.1:{free_port()}")
    proxy.more = f"log {{\noutput file {tmp_path}/access.log\n}}\n{re.search('`(skip_log .*?)`', DOCS)[1]}\n"
    with proxy:
        wrong = requests(f"/join/i/{TOKEN}/register", proxy.name)
        del wrong["a way out of the root"]  # which is another page, to Caddy
        await keeps_to_itself(proxy, wrong)
        await said(proxy.port, proxy, "GET /elsewhere HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")
        await eventually(lambda: "/elsewhere" in proxy.logs, "the rest is logged")


async def test_the_rest_of_a_site_is_logged(tmp_path):
    with Nginx(tmp_path, "/join", f"127.0.0.1:{free_port()}") as proxy:
        for page in ("/", "/i/am", "/joint/elsewhere"):
            await said(proxy.port, proxy, f"GET {page} HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")
            await eventually(lambda: f'"GET {page} HTTP/1.1"' in proxy.logs, "it is logged")


@contextlib.asynccontextmanager
async def answering(answers):
    """A program in the daemon's place, which gives these answers. Its address, and those it gave."""
    async def answer(reader, writer):
        with contextlib.suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            seen.append(answers[len(seen)])
            writer.write(seen[-1])
            await writer.drain()
        writer.close()

    seen, port = [], free_port()
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield f"127.0.0.1:{port}", seen


def visit(proxy):
    """The request for the page of the token."""
    return f"GET {proxy.path}/i/{TOKEN} HTTP/1.1\r\nHost: {proxy.name}\r\nConnection: close\r\n\r\n"


async def keeps_to_itself(proxy, wrong):
    """Sends these requests. Afterwards no log of the proxy has the token."""
    for what, request in wrong.items():
        await said(proxy.port, proxy, request)
        assert TOKEN not in proxy.logs, what
    await asyncio.sleep(0.5)  # for lines that come late
    assert TOKEN not in proxy.logs


async def said(port, proxy, request, seconds=1):
    """The answer to a request, over TLS where there is a proxy. Some requests get none."""
    trusting = ssl.create_default_context(cafile=proxy.certificate) if proxy else None
    address = proxy.address if proxy else "127.0.0.1"
    reader, writer = await asyncio.open_connection(address, port, ssl=trusting,
                                                   server_hostname=proxy and proxy.name)
    with contextlib.suppress(OSError, TimeoutError):
        writer.write(request.encode("latin-1"))
        return await asyncio.wait_for(reader.read(), seconds)
    writer.transport.abort()
