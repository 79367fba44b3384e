"""A Prometheus that watches a daemon, with the alerts and the dashboard of contrib/."""

import json
import re
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

from .daemon import REPOSITORY
from .process import PATIENCE, Process, Service, free_port, port_answers
from .server import Server

RULES = REPOSITORY / "contrib" / "prometheus" / "easy-invite.rules.yml"
DASHBOARD = REPOSITORY / "contrib" / "grafana" / "easy-invite.json"

# How often Prometheus asks the daemon and looks at its rules. Operators have it ask every 15
# seconds, or less often.
EVERY = "500ms"

# What Grafana writes in the place of its variables.
FILLED_IN = {"$instance": ".*", "$host": ".*", "$__rate_interval": "20m"}


def metrics_settings() -> dict:
    """Settings for a `Server` that shows its numbers, on a free port."""
    return {"metrics": {"listen": f"127.0.0.1:{free_port()}"}}


def address(server: Server, path: str) -> str:
    """The address of a path of the daemon's metrics server."""
    return f"http://{server.daemon.config['metrics']['listen']}{path}"


def scrape(server: Server) -> str:
    """What the daemon shows at this moment."""
    with urllib.request.urlopen(address(server, "/metrics"), timeout=PATIENCE) as answer:
        return answer.read().decode()


def shown(server: Server) -> dict[str, float]:
    """The same: the number of each series."""
    lines = (line.rpartition(" ") for line in scrape(server).splitlines() if not line.startswith("#"))
    return {series: float(number) for series, _, number in lines}


def promtool(*arguments: str | Path) -> str:
    """Runs promtool, and returns what it says."""
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def dashboard_queries() -> dict[str, str]:
    """The queries of the dashboard, by the titles of their panels."""
    queries = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            query = target["expr"]
            for variable, value in FILLED_IN.items():
                query = query.replace(variable, value)
            assert "$" not in query, query
            queries[f"{panel['title']} {target['refId']}"] = query
    return queries


def names_in(text: str) -> set[str]:
    """The metrics that a text names."""
    return set(re.findall(r"easy_invite_[a-z_]+", text))


class Prometheus(Service):
    """A Prometheus with its data in a folder. A context manager: it runs within `with`."""

    def __init__(self, folder: Path, server: Server):
        """Describes one that watches a server's daemon."""
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self._target = server.daemon.config["metrics"]["listen"]

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        config = {"global": {"scrape_interval": EVERY, "evaluation_interval": EVERY}, "rule_files": [str(RULES)],
                  "scrape_configs": [{"job_name": "easy-invite", "static_configs": [{"targets": [self._target]}]}]}
        file = self.folder / "prometheus.yml"
        file.write_text(json.dumps(config))  # which is YAML as well
        command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={self.data}",
                   f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]
        self._process = Process("prometheus", command, self.folder / "prometheus.log", folder=self.folder)
        self._process.wait_until(lambda: port_answers(self.port) and self._is_ready(), PATIENCE, "answer")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=PATIENCE):
                return True
        except OSError:
            return False

    def ask(self, path: str, **parameters: object) -> object:
        """Asks its API, and returns the data of the answer."""
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            answer = json.load(response)
        assert answer["status"] == "success", answer
        return answer["data"]

    def number(self, query: str) -> float | None:
        """The one number that a query has at present, or None."""
        found = self.ask("query", query=query)["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None
