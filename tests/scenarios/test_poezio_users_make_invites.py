"""poezio, a real client, shows no instructions, and of each text in a form one line."""

import pytest

from harness.poezio import Poezio
from harness.stories import Invite, register, show


@pytest.fixture
def server(make_server):
    return make_server(tls=True)


async def test_a_mistake_is_named_and_the_link_says_how_long_it_is_good(server, tmp_path):
    with Poezio(server, tmp_path, "admin") as poezio:
        await poezio.run_command("invite.example.org", "New Account Invite", 1)
        await poezio.read(r"Valid for +← +7 days +→(?s:.*)How many accounts +1 ")
        poezio.write("bob")
        await poezio.read(r"Username .* bob")
        poezio.press("Down", "Down", "Down", "Right")
        await poezio.read(r"How many accounts +← +2 ")
        poezio.press("C-y")
        await poezio.read(r"Note for yourself(?s:.*)Please correct “Username”: The requested username already exists")
        await poezio.read("Please correct “How many accounts”: An invitation for one username can be used")
        poezio.press("C-k")
        await poezio.read(r"Username \(empty: the guest chooses\) *\n")
        poezio.press("C-y")
        link = (await poezio.read(r"Link for XMPP apps +(xmpp:\S+)")).group(1)
        await poezio.read(r"Valid until \d+ \w+ \d{4}, \d\d:\d\d UTC")
    assert show(server, Invite(link))["max_uses"] == 2
    await register(server, "carol", Invite(link))


@pytest.mark.one_setup
async def test_a_password_reset_says_whose_it_is(server, tmp_path):
    with Poezio(server, tmp_path, "admin") as poezio:
        await poezio.run_command("invite.example.org", "Password Reset Link", 2)
        await poezio.read("Address of the account")
        poezio.write("bob")
        await poezio.read("Address of the account +bob")
        poezio.press("C-y")
        await poezio.read(r"Link to send, only to bob@example\.org +https:")
