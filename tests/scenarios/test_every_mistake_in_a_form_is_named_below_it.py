"""What is wrong with a form that was sent stands below the same form, all of it, each with its field.
Gajim, Psi, Converse and profanity show the values of such texts, and not their labels."""

from datetime import datetime

import pytest

from harness.stories import CREATE_ACCOUNT, PASSWORD_RESET, Invite, generate, revoke, show
from harness.xmpp import children, field_value, form_fields, form_in, form_values

FIELDS = ["FORM_TYPE", "username", "roster-subscription", "expires", "uses", "note"]
NO_DURATION = "write 90s, 15m, 36h, 7d, 4w (1s to 10 years) or never"
NO_ADDRESS = "Please correct “Address of the account”: Enter the address of the account, such as alice@example.org"
NO_NUMBER = "Please correct “How many accounts”: Write a number from 1 to 4294967295, or unlimited"


@pytest.mark.parametrize(("answers", "problems"), [
    ({"username": "bob"}, ["Please correct “Username”: The requested username already exists."]),
    ({"username": "a b"}, ['Please correct “Username”: "a b" is not a valid username']),
    ({"username": "reserved"},
     ["Please correct “Username”: The requested username is reserved for another invitation"]),
    ({"uses": "0"}, [NO_NUMBER]),
    ({"uses": "several"}, [NO_NUMBER]),
    ({"uses": "99999999999"}, [NO_NUMBER]),
    ({"expires": "soon"}, [f'Please correct “Valid for”: "soon" is not a duration: {NO_DURATION}']),
    ({"expires": "3"}, [f'Please correct “Valid for”: "3" is not a duration: {NO_DURATION}']),
    ({"expires": "11 years"}, [f'Please correct “Valid for”: "11 years" is not a duration: {NO_DURATION}']),
    ({"username": "carol", "uses": "2"},
     ["Please correct “How many accounts”: An invitation for one username can be used exactly once"]),
    ({"username": "reserved", "uses": "0"},
     ["Please correct “Username”: The requested username is reserved for another invitation", NO_NUMBER]),
    ({"note": "x" * 501, "uses": "0", "expires": "soon", "username": "bob", "roster-subscription": "perhaps"},
     ["Please correct “Username”: The requested username already exists.",
      "Please correct “Become contacts at once”: Write 1 for yes or 0 for no",
      f'Please correct “Valid for”: "soon" is not a duration: {NO_DURATION}', NO_NUMBER,
      "Please correct “Note for yourself”: A note can have at most 500 characters"]),
], ids=lambda value: "-".join(value)[:40] if isinstance(value, dict) else "")
async def test_the_form_of_an_account(server, answers, problems):
    if answers.get("username") == "reserved":
        server.daemon.cli("generate", "example.org", "--username", "reserved")
    admin = await server.login("admin")
    shown, again = await send(admin, CREATE_ACCOUNT, answers)
    assert below(again, FIELDS) == problems
    kept = {var: value for var, value in answers.items() if var in ("username", "note")}
    assert kept.items() <= form_values(form_in(again)).items()
    assert again.get("sessionid") == shown.get("sessionid")

    done = await admin.execute(admin.domain, CREATE_ACCOUNT, session=again.get("sessionid"), form={"uses": "2"})
    assert done.get("status") == "completed"


async def test_nothing_is_made_and_nothing_reserved_by_a_form_with_a_mistake(server):
    admin = await server.login("admin")
    await send(admin, CREATE_ACCOUNT, {"username": "erin", "uses": "0"})
    assert show(server, generate(server, "--username", "erin"))["state"] == "pending"


@pytest.mark.parametrize(("typed", "problem"), [
    ("ghost", "Please correct “Address of the account”: ghost@example.org has no account here"),
    ("", NO_ADDRESS),
    ("bob@", NO_ADDRESS),
    ("bob@example.org/phone", NO_ADDRESS),
    ("bob@elsewhere.example", "Please correct “Address of the account”: bob@elsewhere.example has no account here"),
    ("a b", 'Please correct “Address of the account”: "a b" is not a valid username'),
], ids=str)
async def test_the_form_of_a_password_reset(server, typed, problem):
    _, again = await send(await server.login("admin"), PASSWORD_RESET, {"accountjid": typed})
    assert below(again, ["FORM_TYPE", "accountjid"]) == [problem]


async def test_another_language(server):
    _, again = await send(await server.login("admin", language="de"), CREATE_ACCOUNT, {"uses": "0", "username": "bob"})
    assert below(again, FIELDS) == ["Bitte ändere „Benutzername“: Diesen Benutzernamen hat schon jemand.",
                                    "Bitte ändere „Anzahl der Konten“: Schreib eine Zahl von 1 bis 4294967295 oder "
                                    "unlimited (beliebig viele)"]


async def test_lifetime_and_uses_are_chosen_from_lists(make_server):
    server = make_server(settings={"hosts": {"example.org": {"expire_after": "36h"}}})
    admin = await server.login("admin")
    shown = form_in(await admin.execute(admin.domain, CREATE_ACCOUNT))
    assert choices(shown, "expires") == ("36h", {
        "1h": "1 hour", "1d": "1 day", "36h": "36 hours", "7d": "7 days", "4w": "4 weeks", "365d": "365 days",
        "never": "no time limit"})
    assert choices(shown, "uses") == ("1", {
        **{number: number for number in ("1", "2", "5", "10", "20", "100")}, "unlimited": "any number"})
    _, again = await send(admin, CREATE_ACCOUNT, {"username": "bob", "expires": "90m", "uses": "7"})
    for var, value in [("expires", "90m"), ("uses", "7")]:  # what is chosen is always in the list
        chosen, all_of_them = choices(form_in(again), var)
        assert chosen == value and value in all_of_them


@pytest.mark.parametrize(("language", "expires", "seconds"), [
    ("en", "3 days", 3 * 86_400), ("en", " 3DAYS ", 3 * 86_400), ("en", "36H", 36 * 3_600),
    ("en", "5 weeks", 35 * 86_400),
    ("en", "Never", None), ("en", "no time limit", None), ("de", "3 Tage", 3 * 86_400), ("de", "3 days", 3 * 86_400),
    ("ru", "3 дня", 3 * 86_400), ("ru", "5 дней", 5 * 86_400), ("ar", "يومان", 2 * 86_400),
    ("fr", "1 semaine", 7 * 86_400), ("en", "3650d", 3650 * 86_400),
], ids=str)
async def test_a_client_may_send_another_value_than_those_in_the_list(server, language, expires, seconds):
    admin = await server.login("admin", language=language)
    _, done = await send(admin, CREATE_ACCOUNT, {"expires": expires, "uses": "7"})
    made = show(server, Invite(form_values(form_in(done))["uri"]))
    assert made["max_uses"] == 7
    begin, end = [made[key] and datetime.fromisoformat(made[key]) for key in ("created_at", "expires_at")]
    assert (end and (end - begin).total_seconds()) == seconds


@pytest.mark.parametrize(("language", "uses"), [
    ("en", "Unlimited"), ("en", "ANY NUMBER"), ("de", "unlimited"), ("de", "Beliebig viele"), ("de", "any number"),
    ("ru", "Без ограничений"),
], ids=str)
async def test_any_number_may_be_typed_in_words(server, language, uses):
    _, done = await send(await server.login("admin", language=language), CREATE_ACCOUNT, {"uses": uses})
    assert show(server, Invite(form_values(form_in(done))["uri"]))["max_uses"] is None


@pytest.mark.parametrize("address", ["Frieda@example.org", " frieda@EXAMPLE.org. "])
async def test_a_username_may_have_its_host_behind_it(server, address):
    _, done = await send(await server.login("admin"), CREATE_ACCOUNT, {"username": address})
    made = Invite(form_values(form_in(done))["uri"])
    assert show(server, made)["username"] == "frieda"
    revoke(server, made)
    _, again = await send(await server.login("admin"), CREATE_ACCOUNT, {"username": "frieda@elsewhere.example"})
    assert below(again, FIELDS) == ['Please correct “Username”: "frieda@elsewhere.example" is not a valid username']


async def send(admin, node, answers):
    """Opens a form and sends it with these answers. Returns both replies."""
    shown = await admin.execute(admin.domain, node)
    return shown, await admin.execute(admin.domain, node, session=shown.get("sessionid"), form=answers)


def below(command, expected):
    """The texts below the fields of a form, which has these fields, as before, and no note."""
    assert command.get("status") == "executing" and not children(command, "note")
    fields = list(form_fields(form_in(command)).items())
    assert [var for var, _ in fields[:len(expected)]] == expected
    assert {(field.get("type"), field.get("label")) for _, field in fields[len(expected):]} == {("fixed", None)}
    return [field_value(field) for _, field in fields[len(expected):]]


def choices(form, var):
    """The chosen value of a list, and all values with their labels."""
    field = form_fields(form)[var]
    assert field.get("type") == "list-single"
    return field_value(field), {field_value(option): option.get("label") for option in children(field, "option")}
