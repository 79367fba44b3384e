"""Nobody registers a name with characters that nobody sees, at any door. On a page, the name of an
inviter that can be mistaken for another has its form in ASCII beside it."""

import pytest

from harness.stories import CREATE_ACCOUNT, generate, has_account, new_invite, register, show
from harness.web import Visitor, text, web_settings
from harness.xmpp import StanzaError, form_in, form_values

# All but the first four are folded to "alice", or refused by Prosody itself.
UNSEEN = ["\u1160", "\u115f", "\u17b4", "\u2800", "\u17b5", "\u3164", "\uffa0", "\u00ad", "\ufe0f", "\U000e0061",
          "\u200b", "\u200d", "\u2060", "\u180e", "\u034f", "\U0001d159", "\u202e", "\ufeff"]
NAMES = [name for unseen in UNSEEN for name in (f"alice{unseen}", f"al{unseen}ice", unseen, unseen * 3)]
NAMES += ["\u0301", "\u0301\u0302", "\u20dd", "\u0301alice"]
SEEN = ["élodie", "łukasz", "алиса", "αλίκη", "张伟", "ジョン・スミス", "김철수", "สมชาย", "अनिल", "שרה", "l·l", "a.b_c-d+e"]

pytestmark = pytest.mark.seconds(120)


@pytest.fixture(scope="module")
def settings():
    """Pages, without limits."""
    return {**web_settings(), "limits": {limit: "unlimited" for limit in ("wrong_tokens", "pages", "forms")}}


async def test_no_client_registers_a_name_with_more_than_is_seen(server):
    invite = generate(server, "--uses", "unlimited")
    for name in NAMES:
        with pytest.raises(StanzaError, match="modify/not-acceptable|cancel/conflict"):
            await register(server, name, invite)
    assert show(server, invite)["uses"] == 0
    assert accounts(server) == ["admin", "alice", "bob"]


async def test_nor_does_anybody_where_registration_is_open(make_server):
    server = make_server(settings={"hosts": {"example.org": {"registration_invite_only": False}}})
    for name in NAMES:
        with pytest.raises(StanzaError, match="modify/not-acceptable|cancel/conflict"):
            await register(server, name)
    assert accounts(server) == ["admin", "alice", "bob"]


async def test_nor_does_a_browser(web_server):
    invite, visitor = generate(web_server, "--uses", "unlimited"), Visitor(web_server)
    for name in NAMES:
        refused = await visitor.register(invite, name, "a password of hers")
        assert refused.status in (409, 422), (name, refused.text)
        suggested = refused.fields.get("username", "")
        assert refused.status == 422 or suggested.startswith("alice"), suggested
    assert show(web_server, invite)["uses"] == 0


async def test_nor_is_an_invite_made_for_such_a_name(server):
    async with await server.login("admin") as admin:
        for name in NAMES:
            made = server.daemon.cli("generate", "example.org", "--username", name)
            assert made.returncode == 1 and made.stderr.count("\n") == 1, (name, made.stderr)
            shown = await admin.execute("example.org", CREATE_ACCOUNT)
            answers = {"username": name, "roster-subscription": "0"}
            again = await admin.execute("example.org", CREATE_ACCOUNT, action="complete",
                                        session=shown.get("sessionid"), form=answers)
            assert again.get("status") == "executing" and form_values(form_in(again))["error"], name
    code, _, said = server.prosody.prosodyctl("mod_easy_invite", "generate", "example.org", "--username", "alice\u1160")
    assert code != 0 and "alice\\u{1160}" in said, said


async def test_names_of_all_scripts_are_registered(server):
    for name in SEEN:
        await register(server, name, generate(server), password="a good password")
        assert await has_account(server, name, password="a good password"), name


async def test_an_account_of_such_a_name_is_an_account_all_the_same(make_server, settings):
    """It was made before, by other means."""
    server = make_server(settings=settings)
    for name, ascii in [("alice\u1160", "xn--alice-zfv"), ("аlice", "xn--lice-43d"), ("аliсе", "xn--li-6kcw3d")]:
        server.prosody.adduser(f"{name}@example.org", "secret")
        async with await server.login(name, "secret") as inviter:
            by_the_user = await new_invite(inviter)
        assert generate(server, "--reset", name).uri.startswith("xmpp:")
        visitor = Visitor(server)
        for invite in (by_the_user, generate(server, "--contact", f"{name}@example.org"),
                       generate(server, "--contact", f"{name}@example.org", "--contact-only")):
            page = await visitor.get(visitor.path(invite))
            assert f"{name}@example.org ({ascii}@example.org)" in page.text, page.text
            assert f"({ascii}@example.org)" in page.body.partition("<title>")[2].partition("</title>")[0]
        for told in ("list", "example.org"), ("show", by_the_user.uri):
            assert f"({ascii}@example.org)" in server.daemon.cli(*told).stdout, told
        used_up = await visitor.register(by_the_user, f"friend-of-{ascii}")
        assert f"({ascii}@example.org)" in used_up.text
        ended = await visitor.get(visitor.path(by_the_user))
        assert ended.heading == text("used") and f"({ascii}@example.org)" in ended.text


async def test_a_name_like_no_other_stands_alone(make_server, settings):
    server = make_server(settings=settings)
    for name in ("алиса", "张伟", "kjær"):
        await register(server, name, generate(server))
        page = await Visitor(server).get(Visitor(server).path(generate(server, "--contact", f"{name}@example.org")))
        assert page.heading == text("invited_by", inviter=f"{name}@example.org"), page.heading


def accounts(server):
    """The users of the server."""
    folder = server.prosody.data_folder / "example%2eorg" / "accounts"
    return sorted(file.stem for file in folder.iterdir())
