"""Runs Gajim for harness/gajim.py, with Debian's Python: gajim's own modules cannot be in ours.

Usage: in_gajim.py FOLDER ACCOUNT PASSWORD PORT ADDRESS. Logs in and opens a chat with the address.
Each line of FOLDER/said is JSON: a text is sent from the chat's own text field, and `{"commands":
ADDRESS}` opens the window with an address's commands. There, `{"run": NAME}` runs one, `{"fill_in":
{VAR: VALUE}}` fills in its form, and `{"press": BUTTON}` presses a button. Each message of the other
side that the chat shows is added to FOLDER/shown, and FOLDER/window is what the window shows.
"""

import json
import os
import sys
from pathlib import Path

os.geteuid = lambda: 1000  # Gajim would not run as root

from gajim import gajim  # noqa: E402
from gajim.common import app  # noqa: E402
from gajim.gtk.util import open_window  # noqa: E402
from gi.repository import GLib, Gtk  # noqa: E402
from nbxmpp.const import ConnectionProtocol, ConnectionType  # noqa: E402
from nbxmpp.protocol import JID  # noqa: E402

FOLDER, ADDRESS, PASSWORD, PORT, PEER = sys.argv[1:6]
said, seen, window = 0, set(), None


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
    """Does what is new, and writes down what the chat and the window show by now."""
    global said
    view = app.window.get_control()._scrolled_view
    for line in Path(FOLDER, "said").read_text().splitlines()[said:]:
        if not do(json.loads(line)):
            break
        said += 1
    with Path(FOLDER, "shown").open("a") as shown:
        for row in view.iter_rows():
            if row.type == "chat" and row.kind == "incoming" and id(row) not in seen:
                seen.add(id(row))
                shown.write(json.dumps(row.get_text()) + "\n")
    if window is not None:
        new = Path(FOLDER, "window.new")
        new.write_text(json.dumps([said, window.get_current_page(), *texts(window)]))
        new.rename(Path(FOLDER, "window"))
    return True


def do(step):
    """Does a step, as soon as the window is ready for it. Returns whether it is done."""
    global window
    if isinstance(step, str):
        stack = app.window.get_chat_stack()
        stack.get_message_input().insert_text(step)
        stack._on_send_message()
        return True
    (what, wanted), = step.items()
    if what == "commands":
        window = open_window("AdHocCommands", account="test", jid=wanted)
        return True
    if what == "press":
        button, _ = window._buttons[wanted]
        ready = button.get_visible() and button.get_sensitive()
        if ready:
            button.clicked()
        return ready
    page = window.get_current_page()
    if what == "run" and page == "commands":
        tree = window.get_page("commands")._treeview
        row, = [row for row in tree.get_model() if row[0] == wanted]
        tree.get_selection().select_path(row.path)
        window._buttons["execute"][0].clicked()
        return True
    if what == "fill_in" and page == "stage":
        rows = window.get_page("stage")._dataform_widget._form_grid.rows
        fields = {row._field.var: row._widget for row in rows if hasattr(row, "_field")}
        for var, value in wanted.items():
            if isinstance(fields[var], Gtk.ComboBox):
                options = [row[0] for row in fields[var].get_model() if value in row[0]]
                fields[var].set_active([row[0] for row in fields[var].get_model()].index(options[0]))
            else:
                fields[var].set_text(value)
        return True
    return False


def texts(widget):
    """The texts that people see in a widget."""
    if not widget.get_visible():
        return
    for kind, read in [(Gtk.Label, "get_text"), (Gtk.Entry, "get_text"), (Gtk.ComboBoxText, "get_active_text")]:
        if isinstance(widget, kind):
            yield getattr(widget, read)() or ""
    if isinstance(widget, Gtk.Container):
        for inner in widget.get_children():
            yield from texts(inner)


sys.argv[1:] = []
when(lambda: app.window is not None and app.window.get_chat_stack(), log_in)
gajim.main()
