"""Promise 1, if the power fails: a link is sent only after the store's file is synced. The test
watches what the daemon asks of the kernel."""

import re
import subprocess
from pathlib import Path

import pytest

from harness.process import PATIENCE
from harness.stories import eventually, new_invite

pytestmark = pytest.mark.store("sqlite")

SYNC = re.compile(r"f(?:data)?sync\(\d+<[^>]*easy-invite\.db-wal>\)\s+= 0|<\.\.\. f(?:data)?sync resumed>\)\s+= 0")
LINK = re.compile(r"preauth=")
LINKS = 5


def writer_of(pid: int) -> str:
    """The id of the thread that commits. Another thread syncs as well, later."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return next(task.name for task in tasks if (task / "comm").read_text().strip() == "store-writer")


async def test_every_time(server, tmp_path):
    trace = tmp_path / "trace"
    writer = writer_of(server.daemon.pid)
    watching = subprocess.Popen(
        ["strace", "--follow-forks", "--decode-fds=path", "--string-limit=4096", "--output", trace,
         "--trace=fsync,fdatasync,write,writev,sendto,sendmsg", "--attach", str(server.daemon.pid)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert "attached" in watching.stderr.readline()
        async with await server.login("alice") as alice:
            for _ in range(LINKS):
                await new_invite(alice)
        await eventually(lambda: len(LINK.findall(trace.read_text())) >= LINKS, "the trace is written")
    finally:
        watching.terminate()
        watching.communicate(timeout=PATIENCE)
    synced, links = False, 0
    for line in trace.read_text().splitlines():
        if line.split()[0] == writer and SYNC.search(line):
            synced = True
        elif LINK.search(line):
            assert synced, f"sent before the store was synced: {line}"
            synced, links = False, links + 1
    assert links == LINKS
