"""What the scenarios and the demo are built on: throw-away Prosody servers, the daemon, and XMPP
clients.

They use the standard library only, so that `scripts/demo` runs with nothing installed.

- `process`  a program that cannot outlive the test that started it
- `prosody`  a Prosody 0.12 or 13 in its own folder
- `daemon`   easy-invite in its own folder, and its command line
- `server`   the two together, with users
- `web`      the daemon's pages, as a browser asks for them
- `xmpp`     raw client and component streams
- `clients`  the chat clients that people use, each as strict or as sloppy as it is
"""
