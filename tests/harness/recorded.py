"""What real Prosodys wrote about invites, for tests that have no Prosody.

tests/prosody_data has a folder for each version and storage. `data` or `prosody.sql` is what the
Prosody wrote. `sent.json` says what each link is, by name. scripts/record-prosody makes them anew.
"""

import dataclasses
import json
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import psycopg

from . import xmpp
from .moving import Sent, old_server, send_links
from .postgres import Postgres, program
from .prosody import REPOSITORY, VERSIONS
from .server import Server

FOLDER = REPOSITORY / "tests" / "prosody_data"
STORAGES = ("internal", "sqlite", "postgresql")
# Prosody has more. The last one is there to be left alone.
STORES = ("invite_token", "invites_tracking", "roster")
TEN_YEARS = 10 * 365 * 24 * 3600


def record(version: str, storage: str, folder: Path, postgres: Postgres) -> dict[str, Sent]:
    """Records in the folder what a Prosody of this version writes into this storage."""
    of_prosody = {"internal": "internal", "sqlite": "sql"}.get(storage) or postgres.create_database()
    with tempfile.TemporaryDirectory() as scratch:
        server = old_server(version, Path(scratch), storage=of_prosody, global_lines=f"invite_expiry = {TEN_YEARS}")
        with server:
            sent = xmpp.run(send(server))
        folder.mkdir(parents=True)
        write_down(server, folder)
    told = {name: dataclasses.asdict(link) for name, link in sent.items()}
    (folder / "sent.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    return sent


async def send(server: Server) -> dict[str, Sent]:
    """Makes invites that are good for years where Prosody allows it."""
    try:
        return await send_links(server, seconds=TEN_YEARS)
    finally:
        await xmpp.close_all()


def write_down(server: Server, folder: Path) -> None:
    """Copies what a Prosody, stopped by now, has written into the folder. Other stores are not
    copied."""
    storage, data = server.prosody.storage, server.prosody.data_folder
    if storage == "internal":
        for store in STORES:
            for path in (*data.glob(f"*/{store}.dat"), *data.glob(f"*/{store}/*.dat")):
                copy = folder / "data" / path.relative_to(data)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
        return
    others = f"DELETE FROM prosody WHERE store NOT IN {STORES}"
    if storage == "sql":
        with sqlite3.connect(data / "prosody.sqlite") as database:
            database.execute(others)
            database.execute("DROP TABLE prosodyarchive")
            lines = [line for line in database.iterdump() if "sqlite_sequence" not in line]
    else:
        with psycopg.connect(storage) as database:
            database.execute(others)
        dump = [program("pg_dump"), "--inserts", "--no-owner", "--table=prosody", storage]
        dumped = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
        # What else pg_dump writes concerns other versions of PostgreSQL.
        lines = [line for line in dumped.splitlines() if line and not line.startswith(("--", "SET", "SELECT", "\\"))]
    (folder / "prosody.sql").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Makes all of tests/prosody_data anew."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch, Postgres(Path(scratch)) as postgres:
        for version in VERSIONS:
            for storage in STORAGES:
                record(version, storage, FOLDER / version / storage, postgres)


if __name__ == "__main__":
    main()
