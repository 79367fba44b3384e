"""A newcomer opens a link in a browser and fills in the form.
They have an account then, and the inviter as a contact."""

from harness.stories import has_account, new_invite, show, used
from harness.web import Visitor, text


async def test_they_are_a_contact_of_the_inviter(web_server):
    async with await web_server.login("alice") as alice:
        invite = await new_invite(alice)
    visitor = Visitor(web_server)
    landing = await visitor.get(visitor.path(invite))
    assert (landing.status, landing.heading) == (200, text("invited_by", inviter="alice@example.org"))
    welcome = await visitor.register(invite, "carol", "correct horse battery")
    assert (welcome.status, welcome.heading) == (200, text("welcome", account="carol@example.org"))
    assert "correct horse battery" not in welcome.body
    await used(web_server, invite)
    assert show(web_server, invite)["state"] == "redeemed"
    assert await has_account(web_server, "carol", password="correct horse battery")
    async with await web_server.login("carol", "correct horse battery") as carol:
        assert {jid: item.subscription for jid, item in (await carol.roster()).items()} == {"alice@example.org": "both"}
