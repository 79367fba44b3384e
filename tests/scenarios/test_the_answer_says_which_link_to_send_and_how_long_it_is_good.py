"""The answer of a command says which of two links to send, for how many people it is good and until
when, and where to see it again. Its labels say the first of these too, since Converse and poezio
show no instructions."""

import tomllib
from datetime import datetime

import pytest

from harness import clients
from harness.daemon import REPOSITORY
from harness.server import password_of
from harness.stories import CREATE_ACCOUNT, NEW_INVITE, PASSWORD_RESET
from harness.xmpp import child, form_fields, form_in, form_values

TWO_LINKS = "Send “Link to send”: it opens a page that explains everything. “Link for XMPP apps” is for somebody " \
            "who has an XMPP app already. "
ONE_LINK = "Send this link. Whoever opens it needs an XMPP app. "
WARNING = "Whoever has this link can set a new password for bob@example.org and log in with it. " \
          "Send it only to the person whose account it is. "
LANGUAGES = sorted(file.stem for file in (REPOSITORY / "languages").glob("*.toml"))
# The plural forms for 1 and for 21 (CLDR), where they are not "one" and "other".
FORMS = {"ar": ("one", "many"), "pl": ("one", "many"), "ru": ("one", "one"), "uk": ("one", "one"),
         "zh-Hans": ("other", "other")}
ISOLATES = dict.fromkeys([0x2066, 0x2068, 0x2069])
NO_LANDING_PAGE = {"hosts": {"example.org": {"landing_page": None}}}
CONTACTS_ONLY = {"hosts": {"example.org": {"allow_user_invites": False}}}


async def test_a_new_invite(web_server):
    alice = await web_server.login("alice")
    for address in (alice.domain, web_server.component):
        made = form_in(await alice.execute(address, NEW_INVITE))
        assert said(made) == ("Your invitation", TWO_LINKS + f"Good for one person, until {end(made)}.")
        assert labels(made) == {"landing-url": "Link to send", "uri": "Link for XMPP apps",
                                "expire": f"Valid until {end(made)}"}


@pytest.mark.parametrize(("answers", "good"), [
    ({"uses": "7", "expires": "1h"}, "Good for 7 people, until {end}."),
    ({"uses": "1", "roster-subscription": "1"}, "Good for one person, until {end}."),
    ({"uses": "unlimited", "expires": "never"}, "Good for any number of people, with no end date."),
    ({"uses": "unlimited", "expires": "4w"}, "Good for any number of people, until {end}."),
    ({"username": "carol"}, "Good only for carol@example.org, until {end}."),
    ({"username": "dora", "expires": "never"}, "Good only for dora@example.org, with no end date."),
], ids=lambda value: value if isinstance(value, str) else "-".join(value.values()))
async def test_an_invite_with_options(web_server, answers, good):
    made = await run(web_server, CREATE_ACCOUNT, answers)
    assert said(made) == ("Your invitation", TWO_LINKS + good.format(end=end(made)))
    assert ("expire" in labels(made)) == ("{end}" in good)


@pytest.mark.parametrize("account", ["bob", "bob@example.org"])
async def test_a_password_reset_is_not_an_invitation(web_server, account):
    made = await run(web_server, PASSWORD_RESET, {"accountjid": account})
    assert said(made) == ("Password Reset Link", WARNING + TWO_LINKS + f"Good for one use, until {end(made)}.")
    assert labels(made) == {"landing-url": "Link to send, only to bob@example.org",
                            "uri": "Link for XMPP apps, only to bob@example.org",
                            "expire": f"Valid until {end(made)}"}


async def test_a_link_without_a_page(make_server):
    server = make_server(settings=NO_LANDING_PAGE)
    alice = await server.login("alice")
    made = form_in(await alice.execute(alice.domain, NEW_INVITE))
    assert said(made)[1] == ONE_LINK + f"Good for one person, until {end(made)}."
    assert list(form_values(made)) == ["FORM_TYPE", "uri", "expire"]
    reset = await run(server, PASSWORD_RESET, {"accountjid": "bob"})
    assert said(reset)[1] == WARNING + ONE_LINK + f"Good for one use, until {end(reset)}."


@pytest.mark.one_setup
async def test_an_invite_that_makes_a_contact_alone(make_server):
    server = make_server(settings=CONTACTS_ONLY)
    alice = await server.login("alice")
    made = form_in(await alice.execute(alice.domain, NEW_INVITE))
    assert said(made)[1].endswith(f"Good for one person, until {end(made)}.")


@pytest.mark.one_setup
@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_language_says_it(web_server, language):
    texts = tomllib.loads((REPOSITORY / "languages" / f"{language}.toml").read_text())
    own = texts["command"]
    for_one, for_many = (own["good_for"][form] for form in FORMS.get(language, ("one", "other")))
    for answers, who in [({}, for_one.format(most=1)), ({"uses": "21"}, for_many.format(most=21)),
                         ({"uses": own["unlimited"], "expires": own["never"]}, own["good_for_any"])]:
        made = await run(web_server, CREATE_ACCOUNT, answers, language=language)
        title, instructions = said(made, language)
        values, links = form_values(made), [own["landing_url"], own["uri"]]
        assert title == own["result"] and who in instructions and all(link in instructions for link in links)
        if "expire" in values:
            month = texts["language"]["months"][int(values["expire"][5:7]) - 1]
            assert month in instructions and month in labels(made)["expire"]
        else:
            assert own["endless"] in instructions
    reset = await run(web_server, PASSWORD_RESET, {"accountjid": "bob"}, language=language)
    assert own["reset_warning"].format(account="bob@example.org") in said(reset, language)[1]
    assert "{" not in "".join([*said(reset, language), *labels(reset).values()])


@pytest.mark.parametrize("kind", clients.ALL_WITH_A_BUTTON)
async def test_the_buttons_of_apps_find_the_links_where_they_were(web_server, kind):
    alice = kind(web_server)
    await alice.log_in("alice", password_of("alice"))
    made = await alice.create_invite()
    assert made.shared == made.landing_url
    form = form_in(await alice.stream.execute("example.org", NEW_INVITE))
    assert list(form_values(form)) == ["FORM_TYPE", "landing-url", "uri", "expire"]


async def run(server, node, answers, language=None):
    """An admin fills in the form of a command, and gets a result."""
    admin = await server.login("admin", language=language)
    shown = await admin.execute(admin.domain, node)
    done = await admin.execute(admin.domain, node, session=shown.get("sessionid"), form=answers)
    assert done.get("status") == "completed", form_values(form_in(done))
    return form_in(done)


def said(form, language="en"):
    """The title and the instructions, without the last sentence, which each of them has."""
    texts = tomllib.loads((REPOSITORY / "languages" / f"{language}.toml").read_text())
    last = texts["contact"]["yours"].format(service="invite.example.org")
    instructions = child(form, "instructions").text.translate(ISOLATES)
    assert instructions.endswith(f" {last}") and "help" in last
    return child(form, "title").text, instructions.removesuffix(f" {last}")


def labels(form):
    """The labels of the fields that are shown."""
    return {var: field.get("label") for var, field in form_fields(form).items() if var != "FORM_TYPE"}


def end(form):
    """The end of the link, as English writes it."""
    expire = form_values(form).get("expire")
    return expire and f"{datetime.fromisoformat(expire):%-d %B %Y, %H:%M} UTC"
