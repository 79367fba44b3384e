"""slixmpp, a library for bots and for poezio."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import slixmpp

from .process import PATIENCE
from .server import Server, password_of


@asynccontextmanager
async def logged_in(server: Server, username: str, plugins: Sequence[str], *, language: str = "en",
                    register: Callable[[slixmpp.ClientXMPP], Callable] | None = None,
                    ) -> AsyncIterator[slixmpp.ClientXMPP]:
    """A client whose session has started.
    `register(client)` makes its handler for registration."""
    client = slixmpp.ClientXMPP(f"{username}@{server.domain}", password_of(username), lang=language)
    for plugin in plugins:
        client.register_plugin(plugin)
    client.enable_starttls = client.enable_direct_tls = False
    client.enable_plaintext = True
    client.plugin["feature_mechanisms"].unencrypted_plain = True
    started = asyncio.get_running_loop().create_future()
    client.add_event_handler("session_start", lambda _: started.set_result(None))
    if register is not None:
        client.add_event_handler("register", register(client))
    client.connect("127.0.0.1", server.prosody.c2s_port)
    try:
        await asyncio.wait_for(started, PATIENCE)
        yield client
    finally:
        client.abort()
