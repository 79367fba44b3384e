"""The daemon takes a form only from the browser that it showed it to. A form that another site
makes the browser send creates no account and sets no password."""

import pytest

from harness.stories import generate, has_account, in_store, reset_link, show
from harness.web import FORM_COOKIE, Visitor, text

pytestmark = pytest.mark.one_setup

PASSWORD = "mallory's choice"
OTHER = "A" * 24


@pytest.mark.parametrize("how", ["no cookie", "no field", "another cookie", "another field", "an empty pair",
                                 "cross-site", "same-site", "of another origin", "of another port", "of no origin",
                                 "by its address", "not as a form", "as parts", "as JSON"])
async def test_however_it_is_sent(web_server, how):
    invite, visitor = generate(web_server), Visitor(web_server)
    username = how.replace(" ", "-")
    path, answers = visitor.path(invite, "register"), await visitor.filled_in(invite, username, PASSWORD)
    headers, content = {}, answers
    match how:
        case "no cookie":
            visitor.cookies.clear()
        case "no field":
            del answers["form"]
        case "another cookie":
            visitor.cookies[FORM_COOKIE] = OTHER
        case "another field":
            answers["form"] = OTHER
        case "an empty pair":
            visitor.cookies[FORM_COOKIE] = answers["form"] = ""
        case "cross-site" | "same-site":
            headers = {"Sec-Fetch-Site": how}
        case "of another origin":
            headers = {"Origin": "http://mallory.example", "Host": "mallory.example"}
        case "of another port":
            headers = {"Origin": "http://127.0.0.1:1"}
        case "of no origin":
            headers = {"Origin": "null"}
        case "by its address":
            path = f"{path}?form={answers['form']}&username=x&password={PASSWORD.replace(' ', '+')}"
            content = b""
        case "not as a form":
            content = "\r\n".join(f"{name}={value}" for name, value in answers.items()).encode()
            headers = {"Content-Type": "text/plain"}
        case "as parts":
            content = "".join(f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                              for name, value in answers.items()).encode() + b"--x--\r\n"
            headers = {"Content-Type": "multipart/form-data; boundary=x"}
        case "as JSON":
            content = repr(answers).replace("'", '"').encode()
            headers = {"Content-Type": "application/json"}
    refused = await visitor.post(path, content, headers)
    assert (refused.status, refused.heading) == (403, text("forged"))
    assert f'href="{visitor.path(invite)}"' in refused.body.replace("&#x2f;", "/")
    assert not await has_account(web_server, username, password=PASSWORD)
    assert show(web_server, invite)["uses"] == 0
    invite_id = show(web_server, invite)["id"]
    assert in_store(web_server, "SELECT count(*) FROM invite_use WHERE invite = ?", invite_id) == [(0,)]


async def test_nor_is_a_password_set_for_another_site(web_server):
    async with await web_server.login("admin") as admin:
        link = await reset_link(admin, "bob@example.org")
    visitor = Visitor(web_server)
    answers = await visitor.filled_in(link, None, PASSWORD, page="reset")
    refused = await visitor.post(visitor.path(link, "reset"), answers, {"Sec-Fetch-Site": "cross-site"})
    assert refused.status == 403
    assert await has_account(web_server, "bob") and not await has_account(web_server, "bob", password=PASSWORD)
    done = await visitor.post(visitor.path(link, "reset"), answers, {"Sec-Fetch-Site": "same-origin"})
    assert (done.status, done.heading) == (200, text("reset_done"))
    assert await has_account(web_server, "bob", password=PASSWORD) and not await has_account(web_server, "bob")


@pytest.mark.parametrize("site", [None, "same-origin"])
async def test_our_own_is_taken_whatever_a_proxy_makes_of_the_host(web_server, site):
    invite, visitor = generate(web_server), Visitor(web_server)
    username = f"own-{site}".lower()
    origin = web_server.daemon.config["web"]["public_url"].removesuffix("/join")
    answers = await visitor.filled_in(invite, username)
    headers = {"Host": "backend", "Origin": origin, "Sec-Fetch-Site": site}
    welcome = await visitor.post(visitor.path(invite, "register"), answers, headers)
    assert (welcome.status, welcome.heading) == (200, text("welcome", account=f"{username}@example.org"))


async def test_a_form_is_for_the_browser_that_opened_it(web_server):
    """Each browser has its own secret, and keeps it from form to form."""
    invite, one, other = generate(web_server), Visitor(web_server), Visitor(web_server)
    first, second = [await one.filled_in(invite, "carol") for _ in range(2)]
    mine, others = one.cookies[FORM_COOKIE], (await other.filled_in(invite, "carol"))["form"]
    assert first["form"] == second["form"] == mine != others
    assert first["offered"] != second["offered"]
    refused = await other.post(other.path(invite, "register"), first)
    assert refused.status == 403
