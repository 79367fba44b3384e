"""Runs Gajim for harness/gajim.py, with Debian's Python: gajim's own modules cannot be in ours.

Usage: in_gajim.py FOLDER ACCOUNT PASSWORD PORT ADDRESS. Logs in and opens a chat with the address. Each
line of FOLDER/said is sent from the chat's own text field, and each message of the other side that
the chat shows is added to FOLDER/shown, as JSON in a line.
"""

import json
import os
import sys
from pathlib import Path

os.geteuid = lambda: 1000  # Gajim would not run as root

from gajim import gajim  # noqa: E402
from gajim.common import app  # noqa: E402
from gi.repository import GLib  # noqa: E402
from nbxmpp.const import ConnectionProtocol, ConnectionType  # noqa: E402
from nbxmpp.protocol import JID  # noqa: E402

FOLDER, ADDRESS, PASSWORD, PORT, PEER = sys.argv[1:6]
said, seen = 0, set()


def when(ready, then):
    """Calls `then` once `ready()` holds."""
    def look():
        try:
            if not ready():
                return True
        except Exception:  # something that is not there yet
            return True
        then()
        return False
    GLib.timeout_add(100, look)


def log_in():
    """Adds the account, as the account wizard does."""
    app.settings.set("use_keyring", False)
    username, host = ADDRESS.split("@")
    app.app.create_account("test", username, host, PASSWORD, None,
                           (f"127.0.0.1:{PORT}", ConnectionProtocol.TCP, ConnectionType.PLAIN))
    app.settings.set_account_setting("test", "confirm_unencrypted_connection", False)
    app.app.enable_account("test")
    when(lambda: app.account_is_connected("test"), open_chat)


def open_chat():
    """Opens the chat, and begins to send and to read."""
    app.window.add_chat("test", JID.from_string(PEER), "contact", select=True)
    sys.excepthook = sys.__excepthook__  # Gajim's own would show a window
    GLib.timeout_add(100, go_on)


def go_on():
    """Types and sends what is new, and writes down what the chat shows by now."""
    global said
    stack, view = app.window.get_chat_stack(), app.window.get_control()._scrolled_view
    for line in Path(FOLDER, "said").read_text().splitlines()[said:]:
        said += 1
        stack.get_message_input().insert_text(json.loads(line))
        stack._on_send_message()
    with Path(FOLDER, "shown").open("a") as shown:
        for row in view.iter_rows():
            if row.type == "chat" and row.kind == "incoming" and id(row) not in seen:
                seen.add(id(row))
                shown.write(json.dumps(row.get_text()) + "\n")
    return True


sys.argv[1:] = []
when(lambda: app.window is not None and app.window.get_chat_stack(), log_in)
gajim.main()
