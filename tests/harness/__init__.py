"""What the scenarios and the demo stand on: throw-away Prosody servers, the daemon, and XMPP clients.

The standard library only, so that `scripts/demo` runs with nothing installed.

- `process`  a program started for a test, which cannot outlive it
- `prosody`  a Prosody 0.12 or 13 in a folder of its own
- `daemon`   easy-invite in a folder of its own, and its command line
- `server`   the two together, with users
- `web`      the daemon's pages, as somebody's browser asks for them
- `xmpp`     raw client and component streams
- `clients`  the chat clients people use, as strict and as sloppy as each is
"""
