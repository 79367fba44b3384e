"""What people write in a chat is read as they mean it: in any case, with punctuation, below a
quotation, in their language. A number is that of the list that they saw."""

import pytest

from harness.stories import Invite, has_account, links_in, new_invite, register, registers, show, write
from harness.xmpp import StanzaError

USAGE = "Write “invite” for a new invitation"
NONE_LISTED = "There are no invitations yet."


@pytest.mark.parametrize("text", [
    "LIST", "List.", "/list", "!list", "  list \n\n", "*list*", "ｌｉｓｔ", "list, please",
    "> 1. an older list\n> 2. of mine\nlist", "list\n> quoted below",
])
async def test_a_word_is_understood_however_it_is_written(server, text):
    async with await server.login("bob") as bob:
        assert await write(bob, text) == NONE_LISTED


async def test_what_another_message_stands_for_is_not_read(server):
    fallback = ("<reply xmlns='urn:xmpp:reply:0' to='invite.example.org' id='x'/>"
                "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply'><body start='0' end='10'/></fallback>")
    async with await server.login("bob") as bob:
        assert await write(bob, "revoke 🎉1\nlist", fallback) == NONE_LISTED


@pytest.mark.parametrize(("language", "help_", "list_"), [
    ("de", "Hilfe!", "Liste"), ("fr", "aide", "LISTE"), ("es", "¿Ayuda?", "lista"), ("it", "aiuto", "elenco"),
    ("pl", "pomoc", "lista"), ("pt-BR", "ajuda", "lista"), ("ru", "Помощь", "СПИСОК"), ("tlh", "help", "list"),
])
async def test_everybody_has_words_of_their_own_and_the_english_ones(server, language, help_, list_):
    async with await server.login("admin", language=language) as admin:
        usage = await write(admin, help_)
        assert await write(admin, "help") == usage
        assert await write(admin, list_) == await write(admin, "list") != usage


@pytest.mark.one_setup
async def test_an_app_that_names_another_language_or_none_does_not_keep_people_from_their_words(make_server):
    """The word tells the language of the answer, if one language alone has it, or if it has been
    spoken before."""
    server = make_server()
    for username, language in [("alice", "en"), ("bob", None), ("admin", "it")]:
        async with await server.login(username, language=language) as user:
            of_the_app = await write(user, "list")
            assert await write(user, "Liste") == of_the_app, "it is German and French"
            assert "„einladen“" in await write(user, "Hilfe!")
            assert await write(user, "Liste") == "Es gibt noch keine Einladungen."
            invite = Invite(links_in(await write(user, "einladen für Oma"))[-1])
            assert "1. \u2068für Oma\u2069 · 0 von 1 " in await write(user, "Liste")
            assert "«пригласить»" in await write(user, "помощь")
            shown = show(server, invite)
            assert shown["note"] == "für Oma" and shown["id"] in await write(user, "اعرض ١")
            assert " 0 von 1 " not in await write(user, "list"), "an English word is answered in the app's language"


async def test_anything_else_is_answered_with_one_line(server):
    async with await server.login("alice") as alice:
        for text in ["hello", "invitees", "2", "🎉", "x" * 60_000]:
            usage = await write(alice, text)
            assert usage.startswith(USAGE) and "\n" not in usage, text[:100]


async def test_a_number_means_what_was_shown_with_it(make_server):
    server = make_server()
    async with await server.login("alice") as alice:
        assert "“list”" in await write(alice, "revoke 1")  # there is no list yet
        first, second = [Invite(links_in(await write(alice, f"invite {name}"))[-1]) for name in ("first", "second")]
        listed = numbers(await write(alice, "list"))
        third = Invite(links_in(await write(alice, "invite third"))[-1])
        again = numbers(await write(alice, "list"))
        assert {name: again[name] for name in listed} == listed and len(set(again.values())) == 3
        for text in ["revoke", "revoke 1 and 2", f"revoke {listed['first']} {listed['second']}", "revoke all",
                     "revoke 99", "revoke 0", "revoke -", "revoke first", "revoke 99999999999999999999"]:
            assert "list" in await write(alice, text), text
        assert [show(server, invite)["state"] for invite in (first, second, third)] == ["pending"] * 3
        assert "“second”" in await write(alice, f"Revoke no. {listed['second']}.")
        assert [show(server, invite)["state"] for invite in (first, second, third)] == ["pending", "revoked", "pending"]


async def test_an_invite_may_be_named_by_its_id_or_link_and_only_ones_own(make_server):
    server = make_server()
    async with await server.login("alice") as alice, await server.login("bob") as bob:
        invite = await new_invite(alice)
        shown = show(server, invite)
        for reference in (shown["id"], invite.uri, invite.token):
            assert shown["id"] in await write(alice, f"show {reference}")
            assert "does not recognise" in await write(bob, f"revoke {reference}")
        assert "pending" == show(server, invite)["state"]
        assert "has been revoked" in await write(alice, f"revoke <{invite.uri}>")
        assert not await registers(server, "carol", invite)


async def test_a_note_is_one_line_of_bounded_length(make_server):
    server = make_server()
    async with await server.login("alice") as alice:
        invite = Invite(links_in(await write(alice, "Invite: Carol's\n class!"))[-1])
        assert show(server, invite)["note"] == "Carol's class!"
        assert "at most 500 characters" in await write(alice, "invite " + "é" * 10_000)
        await register(server, "carol", invite)
        assert await has_account(server, "carol")


async def test_the_limits_of_new_invite_hold_in_the_same_words(make_server):
    server = make_server(settings={"hosts": {"example.org": {"invites_per_day": 2}}})
    async with await server.login("alice") as alice:
        assert links_in(await write(alice, "invite"))
        await new_invite(alice)
        with pytest.raises(StanzaError) as refused:
            await new_invite(alice)
        assert await write(alice, "invite one more") == refused.value.text


async def test_a_correction_is_read_only_if_nothing_was_understood(make_server):
    server = make_server()

    def corrects(id):
        return f"<replace xmlns='urn:xmpp:message-correct:0' id='{id}'/>"

    async with await server.login("alice") as alice:
        to = "<message type='chat' to='invite.example.org'"
        alice.send(f"{to} id='typo'><body>lsit</body></message>")
        await alice.expect_stanza("message", sender="invite.example.org")
        alice.send(f"{to} id='worse'><body>lits</body>{corrects('typo')}</message>")
        await alice.expect_stanza("message", sender="invite.example.org")
        # XEP-0308 names the first message each time; some apps name the last one.
        for mistaken in ("typo", "worse"):
            alice.send(f"<message type='chat' id='m-{mistaken}' to='invite.example.org'><body>tsil</body>"
                       f"{corrects(mistaken)}</message>")
            await alice.expect_stanza("message", sender="invite.example.org")
        assert await write(alice, "list", corrects("typo")) == NONE_LISTED
        alice.send("<message type='chat' id='once' to='invite.example.org'><body>invite x</body></message>")
        await alice.expect_stanza("message", sender="invite.example.org")
        alice.send(f"<message type='chat' to='invite.example.org'><body>invite y</body>{corrects('once')}</message>")
        listed = await write(alice, "list")
        assert " x " in listed and " y " not in listed


def numbers(listed: str) -> dict[str, str]:
    """The numbers in a list, by notes."""
    lines = [line.partition(". ") for line in listed.splitlines()[1:]]
    return {rest.partition(" · ")[0]: number for number, _, rest in lines}
