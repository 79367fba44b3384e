"""What tests/prosody_data has of real Prosodys, for tests without one, is what Prosody writes today:
the same files and rows with the same parts, but for tokens, times and the ids that it makes up."""

import json
import re

import pytest

from harness.recorded import FOLDER, record

RECORDED = (("0.12", "internal"), ("0.12", "sqlite"), ("13", "internal"), ("13", "postgresql"))


@pytest.mark.parametrize("version, storage", RECORDED)
def test_prosody_writes_what_is_recorded(postgres, tmp_path, version, storage):
    record(version, storage, tmp_path / "today", postgres)
    recorded, today = shape(FOLDER / version / storage), shape(tmp_path / "today")
    assert recorded.keys() == today.keys()
    for path, parts in recorded.items():
        assert parts == today[path], path
    assert json.loads((tmp_path / "today/sent.json").read_text()).keys() == links(FOLDER / version / storage).keys()


def links(folder):
    return json.loads((folder / "sent.json").read_text())


def shape(folder):
    """The parts of each file, sorted, because Prosody writes a table in any order."""
    names = {re.search("preauth=([^;]+)", link["uri"])[1]: name for name, link in links(folder).items()}
    shapes = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "sent.json":
            text = path.read_text()
            for token, name in names.items():
                text = text.replace(token, f"<{name}>")
            text = re.sub(r"\b\d{10}\b", "<time>", text)
            text = re.sub(r"(@example\.org/|api/token/)[\w-]{12}", r"\1<made up>", text)
            shapes[path.relative_to(folder)] = sorted(part.strip() for part in re.split(r"[\n,{}\[\]()]", text))
    return shapes
