"""A form may hold any bytes. The worst answer is that
they are wrong, and the page shows them as text."""

from urllib.parse import quote_from_bytes

import pytest

from harness.stories import generate, has_account, new_invite, show
from harness.web import Visitor, text

pytestmark = pytest.mark.one_setup

GOOD = "a good password"
NASTY = "\"'><script>alert(1)</script>{{ 7 * 7 }}{% raw %}&lt;\u202e{host}"


@pytest.mark.parametrize("username, status", [
    ("", 422), (" ", 422), (NASTY, 422), ("a" * 1024, 422), ("a" * 4000, 422), ("two words", 422),
    ("carol@elsewhere.example", 422), ("\0", 422), ("a\nb", 422), ("\ufffd", 422), ("alice", 409), ("ALICE", 409),
    ("alice@example.org", 409), ("\u212bgnes", 200)])
async def test_as_a_username(web_server, username, status):
    invite, visitor = generate(web_server), Visitor(web_server)
    answers = await visitor.filled_in(invite, username, GOOD)
    answer = await visitor.post(visitor.path(invite, "register"), answers)
    assert answer.status == status, answer.text
    assert "<script" not in answer.body and "49" not in answer.heading
    if status != 200:
        assert show(web_server, invite)["uses"] == 0
        assert GOOD not in answer.body
        assert 'role="alert"' in answer.body
        assert ('aria-invalid="true"' in answer.body) == (status == 422), "a free name takes the place of a taken one"
    if username == NASTY:
        assert answer.fields["username"] == NASTY.strip()


@pytest.mark.parametrize("content, status", [
    (b"", 403), (b"&&&===&", 403), (b"\xff\xfe\x00", 403), (b"%zz%", 403), (b"form", 403), (b"x" * 8000, 403),
    (b"&" * 8192, 403), (b"=" * 8193, 413)])
async def test_as_a_form(web_server, content, status):
    invite, visitor = generate(web_server), Visitor(web_server)
    await visitor.filled_in(invite, "x", GOOD)
    assert (await visitor.post(visitor.path(invite, "register"), content)).status == status


@pytest.mark.parametrize("added, status", [
    (b"&username=carol-1&password=%zz%25+longer", 200),  # a broken escape stands for itself
    (b"&username=carol-2&password=\xe4\xf6\xfc\xe4\xf6\xfc\xe4\xf6\xfc", 422),  # not UTF-8: nobody could type it
    (b"&username=carol-3&password=%e4%f6%fc%e4%f6%fc%e4%f6%fc", 422), (b"&username=%ff%fe&password=long+enough", 422),
    (b"&username=carol-4&password=with%00zero+byte", 422), (b"&username=carol-5&password=two%0d%0alines+", 422),
    (b"&username=carol-6&password=" + quote_from_bytes("密码很长没有人知道".encode()).encode(), 200),
    (b"&username=carol-7&password=" + b"pqrbxk mzv wd h " * 15 + b"p" * 16, 200),
    (b"&username=carol-8&password=" + b"p" * 257, 422),
    (b"&username=carol-9&password=shorter", 422), (b"&username=carol-10&password=carol-10", 422),
    (b"&username=nobody&username=carol-11&password=wrong&password=the+last+one+counts", 200),
    (b"&username=carol-12&password=long+enough&choice=neither&more=fields&shown-username=admin&offered=x", 200),
    (b"&username=carol-13", 422), (b"&password=long+enough", 422),
    (b"&username=carol-14&choice=offered&offered=&password=", 422),
    (b"&username=carol-15&choice=offered&offered=anything+goes+that+is+long&password=", 200)])
async def test_as_its_fields(web_server, added, status):
    invite, visitor = generate(web_server), Visitor(web_server)
    form = (await visitor.get(visitor.path(invite, "register"))).fields["form"]
    answer = await visitor.post(visitor.path(invite, "register"), b"form=" + form.encode() + added)
    assert answer.status == status, answer.text
    assert not await has_account(web_server, "nobody", password="wrong")


async def test_names_of_others_are_text(web_server):
    inviter = r"a$%!*(){}#~^`|"
    web_server.prosody.shell(f'user:create("{inviter}@example.org", "secret")')
    async with await web_server.login(inviter, "secret") as mallory:
        invite = await new_invite(mallory)
    visitor = Visitor(web_server)
    landing = await visitor.get(visitor.path(invite))
    assert landing.heading == text("invited_by", inviter=f"{inviter}@example.org")
    assert landing.header("Link") == f'<{invite.uri}>; rel="alternate"'
    welcome = await visitor.register(invite, "dora")
    assert text("connected", inviter=f"{inviter}@example.org") in welcome.text
