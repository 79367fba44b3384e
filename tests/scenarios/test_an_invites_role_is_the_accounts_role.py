"""`--role` gives the new account that role at once.
A role that Prosody does not know is logged, and the account is made."""

from harness.stories import CREATE_ACCOUNT, generate, has_account, register


async def test_an_admin_joins(server):
    await register(server, "carol", generate(server, "--role", "prosody:admin"))
    carol = await server.login("carol")
    for address in ("example.org", "invite.example.org"):
        assert CREATE_ACCOUNT in await carol.commands(address)


async def test_a_user_without_a_role_is_no_admin(server):
    await register(server, "dave", generate(server))
    dave = await server.login("dave")
    assert CREATE_ACCOUNT not in await dave.commands("example.org")


async def test_an_unknown_role_keeps_nobody_out(server):
    await register(server, "erin", generate(server, "--role", "emperor", "--contact", "alice@example.org"))
    assert await has_account(server, "erin")
    async with await server.login("erin") as erin:
        assert (await erin.roster())["alice@example.org"].subscription == "both"
    if server.prosody.version == "13":  # 0.12 takes any name for a role
        assert 'Could not give erin the role "emperor"' in server.prosody.log
