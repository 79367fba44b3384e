"""Users see the invites that they have made, get a new link for one, change it and revoke it, on
the server's own address and on the component. Nobody else learns that an invite is there."""

import asyncio
from datetime import datetime, timedelta

import pytest

from harness.server import Server
from harness.stories import (
    INVITE_WITH_OPTIONS,
    INVITES_OF,
    MY_INVITES,
    NEW_INVITE,
    Invite,
    fill_in,
    generate,
    new_invite,
    register,
    revoke,
    show,
    used,
)
from harness.xmpp import StanzaError, child, children, field_value, form_fields, form_in, form_values

ADDRESSES = ["example.org", "invite.example.org"]
GONE = "This server does not recognise this invitation"
RTL = "\u202egnihton\u202c"


@pytest.fixture(scope="module")
def server(prosody_version, store_url, tmp_path_factory):
    caps = {"hosts": {"example.org": {"max_uses": 5, "max_expires": "30d", "invites_per_day": "unlimited"}}}
    folder = tmp_path_factory.mktemp("server")
    with Server(prosody_version, folder, store_url=store_url(), settings=caps) as running:
        yield running


class Menu:
    """A user's command with several steps, at an address."""

    def __init__(self, user, address="example.org", node=MY_INVITES):
        self.user, self.address, self.node, self.session = user, address, node, None

    async def send(self, values=None, **more):
        """Sends a step. Returns its form and the text of its note: one of the two is None."""
        answer = await self.user.execute(self.address, self.node, session=self.session, form=values, **more)
        assert self.session in (None, answer.get("sessionid")), "it stays the same"
        executing = answer.get("status") == "executing"
        self.session = answer.get("sessionid") if executing else None
        form, note = form_in(answer), child(answer, "note")
        assert (form is None) != (note is None), "one client shows only one of the two"
        assert form is None or form.get("type") == ("form" if executing else "result")
        if executing:
            assert [action.tag.rpartition("}")[2] for action in child(answer, "actions")] == ["complete"]
            check_form(form)
        return form, None if note is None else note.text


def check_form(form):
    """A form that every client shows."""
    fields = [entry for var, entry in form_fields(form).items() if var != "FORM_TYPE" and not var.startswith("error")]
    assert len(fields) == len({entry.get("var") for entry in fields}) <= 5
    for entry in fields:
        assert entry.get("type") in ("text-single", "list-single", "hidden")
        if entry.get("type") == "list-single":
            assert field_value(entry) in options(form, entry.get("var"))


def options(form, var):
    """The values and labels of a list."""
    return {field_value(option): option.get("label") for option in children(form_fields(form)[var], "option")}


async def id_of(user, note, address="example.org"):
    """The id of the user's invite with this note, and its label in the list."""
    form, _ = await Menu(user, address).send()
    (found,) = [(value, label) for value, label in options(form, "invite").items() if note in label]
    return found


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_user_chooses_within_the_caps(server, address):
    alice, menu = await server.login("alice"), None
    menu = Menu(alice, address, INVITE_WITH_OPTIONS)
    form, _ = await menu.send()
    assert list(form_values(form)) == ["FORM_TYPE", "note", "expires", "uses"]
    assert list(options(form, "expires")) == ["1h", "1d", "7d", "4w", "30d"]
    assert list(options(form, "uses")) == ["1", "2", "5"]
    for values, said in [
        ({"uses": "6"}, ["How many accounts”: Your invitations can have this many uses at most: 5"]),
        ({"uses": "unlimited"}, ["at most: 5"]),
        ({"expires": "31d"}, ["Valid for”: Your invitations can be used for at most 30 days"]),
        ({"expires": "never", "uses": "0", "note": "n" * 10_000},
         ["Note for yourself”: A note can have at most 500", "Valid for", "Write a number"]),
        ({"uses": "many", "expires": "soon"}, ["Valid for", "Write a number"]),
    ]:
        form, _ = await menu.send(values)
        mistakes = [value for var, value in form_values(form).items() if var.startswith("error")]
        assert len(mistakes) == len(said) and all(text in mistake for text, mistake in zip(said, mistakes)), mistakes
    form, _ = await menu.send({"uses": "5", "expires": "30d", "note": "Carol's class"})
    made = show(server, Invite(form_values(form)["uri"]))
    assert (made["max_uses"], made["note"], made["inviter"]) == (5, "Carol's class", "alice@example.org")
    assert lifetime(made) == timedelta(days=30)


async def test_an_admin_has_no_caps(server):
    admin = await server.login("admin")
    answers = {"uses": "unlimited", "expires": "never", "note": "of an admin"}
    made = await fill_in(admin, INVITE_WITH_OPTIONS, answers)
    assert (show(server, made)["max_uses"], show(server, made)["expires_at"]) == (None, None)
    id, label = await id_of(admin, "of an admin")
    assert label == "of an admin · 0 used · with no end date"
    menu = Menu(admin)
    form, _ = await menu.send({"invite": id, "action": "change"})
    assert options(form, "expires")["keep"] == "as it is: with no end date"
    _, note = await menu.send({"uses": "7"})
    assert note.startswith("Saved: of an admin · 0 of 7 used")


@pytest.mark.one_setup
async def test_what_cannot_be_chosen_is_no_field(make_server):
    """By default, users have one use, and lifetimes up to the usual one."""
    roles = {"roles": {"prosody:registered": {"max_expires": "1h"}, "prosody:user": {"max_expires": "1h"}}}
    for settings, fields in [({}, ["note", "expires"]), ({"expire_after": "1h"}, ["note"]), (roles, ["note"])]:
        server = make_server(settings={"hosts": {"example.org": settings}})
        bob = await server.login("bob")
        form, _ = await Menu(bob, node=INVITE_WITH_OPTIONS).send()
        assert list(form_values(form))[1:] == fields
        invite = await fill_in(bob, INVITE_WITH_OPTIONS, {"note": "x"})
        days = timedelta(days=7) if not settings else timedelta(hours=1)
        assert lifetime(show(server, invite)) == lifetime(show(server, await new_invite(bob))) == days


@pytest.mark.parametrize("address", ADDRESSES)
async def test_an_invite_is_revoked_in_two_steps(server, address):
    alice = await server.login("alice")
    made = await fill_in(alice, INVITE_WITH_OPTIONS, {"note": f"wrong person {address}"})
    id, label = await id_of(alice, f"wrong person {address}", address)
    assert label.startswith(f"wrong person {address} · 0 of 1 used · until ")
    async with await server.connect() as early:
        await early.preauth(made.token)
        menu = Menu(alice, address)
        await menu.send()
        _, note = await menu.send({"invite": id, "action": "revoke"})
        assert note == f"The invitation “wrong person {address}” has been revoked. Its link no longer works."
        with pytest.raises(StanzaError):
            await early.registration_set("early", "a good password of early")
    with pytest.raises(StanzaError, match="item-not-found"):
        await register(server, "late", made)
    assert (await id_of(alice, f"wrong person {address}"))[1].endswith(" · revoked")


async def test_who_has_joined_is_shown(server):
    alice = await server.login("alice")
    made = await fill_in(alice, INVITE_WITH_OPTIONS, {"note": "two friends", "uses": "2"})
    await register(server, "first", made)
    await used(server, made)
    renewed, _ = await Menu(alice).send({"invite": (await id_of(alice, "two friends"))[0], "action": "regenerate"})
    assert "Good for one person" in child(renewed, "instructions").text, "as many as are left"
    await register(server, "second", Invite(form_values(renewed)["uri"]))
    form, _ = await Menu(alice).send({"invite": (await id_of(alice, "two friends"))[0], "action": "show"})
    values = form_values(form)
    assert list(values)[1:] == ["state", "created", "expire", "uses", "accounts", "note", "id"]
    assert (values["state"], values["uses"]) == ("redeemed", "2 of 2 used")
    assert set(values["accounts"].split(", ")) == {"first@example.org", "second@example.org"}
    assert values["id"] == show(server, made)["id"]


@pytest.mark.parametrize("choice", ["1", "7", "", "aaaaaaaaaaaa", "../../etc", "id' OR 1=1", "x" * 5000])
async def test_what_is_not_in_the_list(server, choice):
    alice = await server.login("alice")
    await new_invite(alice)
    for action in ("revoke", "regenerate", "change", "show"):
        form, note = await Menu(alice).send({"invite": choice, "action": action})
        assert note is None and options(form, "invite") and form_values(form)["action"] == action
        assert choice == "" or form_values(form)["error"].endswith(GONE)


@pytest.mark.parametrize("action", ["show", "revoke", "regenerate", "change"])
async def test_somebody_elses_is_not_there(server, action):
    """The answer is the one to an id that nobody has."""
    alice, bob = await server.login("alice"), await server.login("bob")
    made = [await new_invite(alice), generate(server), generate(server, "--contact", "bob@example.org")]
    ids = ["aaaaaaaaaaaa", *(show(server, invite)["id"] for invite in made)]
    answers = [await Menu(bob).send({"invite": id, "action": action, "note": "mine now"}) for id in ids]
    texts = {note or form_values(form)["error"] for form, note in answers}
    assert len(texts) == 1 and texts.pop().endswith(GONE)
    assert [show(server, invite)["state"] for invite in made] == ["pending"] * 3
    assert all(show(server, invite)["note"] is None for invite in made)
    assert all(id not in options(form, "invite") for form, _ in answers if form is not None for id in ids)


@pytest.mark.parametrize("action", ["regenerate", "change"])
async def test_an_invite_ends_between_list_and_choice(server, action):
    alice = await server.login("alice")
    made = await fill_in(alice, INVITE_WITH_OPTIONS, {"note": f"soon over, {action}"})
    menu = Menu(alice)
    await menu.send()
    id = show(server, made)["id"]
    revoke(server, made)
    form, note = await menu.send({"invite": id, "action": action})
    if action == "change":
        form, note = await menu.send({"note": "too late"})
    assert "This invitation has been revoked" in (note or form_values(form)["error"])
    assert (show(server, made)["state"], show(server, made)["note"]) == ("revoked", f"soon over, {action}")


async def test_two_apps_change_one_invite(server):
    """Each sends its whole form. What it did not change there, the other one may have changed."""
    alice = await server.login("alice")
    made = await fill_in(alice, INVITE_WITH_OPTIONS, {"note": "before", "uses": "2"})
    id = show(server, made)["id"]
    menus = [Menu(alice, address) for address in ADDRESSES]
    forms = [(await menu.send({"invite": id, "action": "change"}))[0] for menu in menus]
    first, second = [form_values(form) for form in forms]
    assert (first["note"], first["expires"], first["uses"]) == ("before", "keep", "keep")
    await asyncio.gather(menus[0].send({**first, "note": "after"}), menus[1].send({**second, "uses": "5"}))
    assert (show(server, made)["note"], show(server, made)["max_uses"]) == ("after", 5)
    _, note = await Menu(alice).send({"invite": id, "note": ""})
    assert show(server, made)["note"] is None and note.startswith("Saved: ")


async def test_a_change_stays_above_what_is_taken_and_within_the_caps(server):
    alice = await server.login("alice")
    made = await fill_in(alice, INVITE_WITH_OPTIONS, {"note": "half full", "uses": "5"})
    await register(server, "one", made)
    await register(server, "two", made)
    menu = Menu(alice)
    form, _ = await menu.send({"invite": show(server, made)["id"], "action": "change"})
    assert list(options(form, "uses")) == ["keep", "2", "5"]
    for values, said in [({"uses": "1"}, "taken: 2"), ({"uses": "9"}, "at most: 5"), ({"expires": "never"}, "30 days"),
                         ({"note": "n" * 501}, "500 characters"), ({"uses": "-1"}, "Write a number")]:
        form, _ = await menu.send(values)
        assert said in form_values(form)["error"], (values, form_values(form))
    assert (show(server, made)["max_uses"], show(server, made)["note"]) == (5, "half full")
    await menu.send({"uses": "2"})
    assert show(server, made)["state"] == "redeemed"
    await Menu(alice).send({"invite": show(server, made)["id"], "uses": "3"})
    await register(server, "three", made)


async def test_a_form_submitted_twice_acts_once(server):
    alice = await server.login("alice")
    made = await fill_in(alice, INVITE_WITH_OPTIONS, {"note": "pressed twice"})
    id, _ = await id_of(alice, "pressed twice")
    menu = Menu(alice)
    await menu.send()
    values = {"invite": id, "action": "regenerate"}
    send = [alice.execute("example.org", MY_INVITES, session=menu.session, form=values) for _ in range(3)]
    answers = await asyncio.gather(*send, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, StanzaError)]
    assert len(refused) == 2 and all(error.condition == "bad-request" for error in refused)
    (new,) = [Invite(form_values(form_in(answer))["uri"]) for answer in answers if answer not in refused]
    assert show(server, new)["links"] == 2
    with pytest.raises(StanzaError, match="item-not-found"):
        await register(server, "with-the-old-link", made)
    await register(server, "with-the-new-link", new)


async def test_odd_forms_do_nothing(server):
    alice = await server.login("alice")
    made = await fill_in(alice, INVITE_WITH_OPTIONS, {"note": "odd"})
    id = show(server, made)["id"]
    form, _ = await Menu(alice).send({"invite": id, "action": "destroy"})
    assert form_values(form)["action"] == "show"
    field = "<field var='{}' type='{}'><value>{}</value><value>revoke</value></field>"
    odd = f"<x xmlns='jabber:x:data' type='submit'>{field.format('invite', 'jid-multi', id)}" \
          f"{field.format('action', 'boolean', 'show')}<field/><reported/><item/></x>"
    answer = await alice.execute("example.org", MY_INVITES, form=odd)
    assert form_values(form_in(answer))["state"] == "pending"
    assert show(server, made)["state"] == "pending"


async def test_a_note_cannot_deceive(server):
    alice = await server.login("alice")
    note = f"evil{RTL} · 9 of 9 used"
    await fill_in(alice, INVITE_WITH_OPTIONS, {"note": note})
    id, label = await id_of(alice, "evil")
    assert label.startswith("\u2068evilgnihton · 9 of 9 used\u2069 · 0 of 1 used") and "\u202e" not in label
    form, _ = await Menu(alice).send({"invite": id, "action": "show"})
    assert form_values(form)["note"] == "evilgnihton · 9 of 9 used"
    await fill_in(alice, INVITE_WITH_OPTIONS, {"note": "شمس " * 30})
    _, label = await id_of(alice, "شمس")
    name = label.split(" · ")[0]
    assert name.startswith("\u2068") and name.endswith("…\u2069") and len(name) < 50


async def test_an_admin_manages_somebodys_invites(server):
    alice, admin = await server.login("alice"), await server.login("admin")
    made = await fill_in(alice, INVITE_WITH_OPTIONS, {"note": "to be seen"})
    with pytest.raises(StanzaError, match="forbidden"):
        await alice.execute("example.org", INVITES_OF)
    for address in ADDRESSES:
        menu = Menu(admin, address, INVITES_OF)
        form, _ = await menu.send()
        assert list(form_values(form))[1:] == ["accountjid"]
        for wrong in ("", "alice@elsewhere.example", "a b"):
            form, _ = await menu.send({"accountjid": wrong})
            assert "Address of the account" in form_values(form)["error"]
        form, _ = await menu.send({"accountjid": "Alice"})
        (id,) = [id for id, label in options(form, "invite").items() if "to be seen" in label]
        form, _ = await menu.send({"invite": id, "action": "change"})
        _, note = await menu.send({"uses": "50"})
        assert note.startswith("Saved: to be seen · 0 of 50 used")
    _, note = await Menu(admin, node=INVITES_OF).send({"accountjid": "nobody@example.org"})
    assert note == "There are no invitations yet."
    _, note = await Menu(admin, node=INVITES_OF).send({"accountjid": "alice", "invite": id, "action": "revoke"})
    assert "to be seen" in note and show(server, made)["state"] == "revoked"


async def test_who_may_invite_no_more_still_takes_back(make_server):
    server = make_server()
    alice = await server.login("alice")
    made = await new_invite(alice)
    id = show(server, made)["id"]
    server.daemon.config["hosts"]["example.org"]["allow_contact_invites"] = False
    server.daemon.reload()
    for values in ({"action": "regenerate"}, {"note": "new"}):
        _, note = await Menu(alice).send({"invite": id, **values})
        assert note == "You are not allowed to create this kind of invitation here"
    assert NEW_INVITE not in await alice.commands("example.org")
    await Menu(alice).send({"invite": id, "action": "revoke"})
    assert show(server, made)["state"] == "revoked"


def lifetime(invite):
    return datetime.fromisoformat(invite["expires_at"]) - datetime.fromisoformat(invite["created_at"])
