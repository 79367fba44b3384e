"""A link in an answer is for the client that asked: the server keeps it in no archive (XEP-0313)
and copies it to no other client (XEP-0280). An answer without a link is archived as usual."""

import pytest

from harness.prosody import USUAL_MODULES
from harness.stories import Invite, links_in, write
from harness.xmpp import to_xml

ARCHIVE = "<query xmlns='urn:xmpp:mam:2'/>"


@pytest.fixture(scope="module")
def server(prosody_version, store_url, tmp_path_factory):
    from harness.server import Server
    modules = (*USUAL_MODULES, "mam")
    with Server(prosody_version, tmp_path_factory.mktemp("server"), store_url=store_url(), modules=modules,
                global_lines="default_archive_policy = true") as running:
        yield running


async def test_no_archive_and_no_other_client_has_the_link(server):
    async with await server.login("alice", resource="phone") as phone, \
            await server.login("alice", resource="desk") as desk:
        await desk.ask("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
        made = Invite(links_in(await write(phone, "invite"))[-1])
        number = (await write(phone, "list")).splitlines()[1].partition(".")[0]
        renewed = Invite(links_in(await write(phone, f"renew {number}"))[-1])
        await write(phone, "help")
        await phone.ask("set", ARCHIVE)
        await desk.ask("get", "<ping xmlns='urn:xmpp:ping'/>")  # answered after all copies so far
        copies = "".join(map(to_xml, desk.inbox))
        archived = "".join(to_xml(stanza) for stanza in phone.inbox if "urn:xmpp:mam:2" in to_xml(stanza))
        for place in (copies, archived):
            assert "Write “invite”" in place
            assert made.token not in place and renewed.token not in place
