"""Containers of the image that scripts/image has built, run by Podman, and what compose.yaml makes of
it. They share the network of the tests.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from .daemon import REPOSITORY
from .process import PATIENCE, ProcessFailed

IMAGE = "localhost/easy-invite"
# Podman's own limits are higher than some machines allow.
LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]


def podman(*arguments: str | Path, check: bool = True, **options: object) -> subprocess.CompletedProcess:
    """Runs Podman on the images of the tests."""
    folder = Path(os.environ["EASY_INVITE_CONTAINERS"])
    command = ["podman", "--root", folder / "images", "--runroot", folder / "run", "--storage-driver", "overlay",
               "--cgroup-manager", "cgroupfs", "--runtime", "runc", "--log-level", "error", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **options)
    assert not check or done.returncode == 0, f"podman {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def once(*command: str, options: list[str | Path] = (), **more: object) -> subprocess.CompletedProcess:
    """Runs the image until it ends by itself. It may have any exit code."""
    return podman("run", "--rm", *LIMITS, "--network", "host", *options, IMAGE, *command, check=False, **more)


class Container:
    """A container that runs in the background. A context manager: it is removed at the end."""

    def __init__(self, name: str, *options: str | Path, image: list[str | Path] = (IMAGE,), command: list[str] = ()):
        self.name = name
        self._run = [*LIMITS, "--network", "host", *options, *image, *command]

    def __enter__(self) -> "Container":
        podman("run", "--detach", "--name", self.name, *self._run)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error:
            print(f"==== {self.name}\n{self.log}")
        podman("rm", "--force", "--time", "5", "--volumes", self.name, check=False)

    def exec(self, *command: str, check: bool = True, options: list[str] = ()) -> subprocess.CompletedProcess:
        """Runs a program in it."""
        return podman("exec", *options, self.name, *command, check=check)

    @property
    def log(self) -> str:
        """All that it has printed."""
        done = podman("logs", self.name, check=False)
        return done.stdout + done.stderr

    def wait_for(self, text: str, seconds: float = PATIENCE) -> None:
        """Waits until it has printed a text."""
        deadline = time.monotonic() + seconds
        while text not in self.log:
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name} does not print {text!r} within {seconds} s:\n{self.log}")
            time.sleep(0.1)

    def stop(self) -> int:
        """Stops it, as a user does. Returns its exit code."""
        podman("stop", "--time", "20", self.name)
        return int(podman("inspect", "--format", "{{.State.ExitCode}}", self.name).stdout)


def compose(variables: Mapping[str, str]) -> dict:
    """compose.yaml with these variables filled in, as `docker compose` reads it."""
    in_json = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))"
    text = (REPOSITORY / "compose.yaml").read_text()
    read = subprocess.run(["/usr/bin/python3", "-c", in_json], input=text, capture_output=True, text=True, check=True)
    filled = re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", lambda found: variables[found[1]], read.stdout)
    return json.loads(filled)


def options_of(service: Mapping, composed: Mapping, folder: Path) -> list[str | Path]:
    """Podman's options for a service of compose.yaml, with all services on this machine's network."""
    options: list[str | Path] = [f"--add-host={name}:127.0.0.1" for name in composed["services"]]
    for name, value in service.get("environment", {}).items():
        options += ["--env", f"{name}={value}"]
    for config in service.get("configs", []):
        file = folder / config["source"]
        file.write_text(composed["configs"][config["source"]]["content"])
        options += ["--volume", f"{file}:{config['target']}:ro"]
    for volume in service.get("volumes", []):
        assert volume.startswith("./") or volume.partition(":")[0] in composed["volumes"], volume
        options += ["--volume", volume.replace("./", f"{folder}/")]
    if "user" in service:
        options += ["--user", service["user"]]
    return options + (["--read-only", "--read-only-tmpfs=false"] if service.get("read_only") else [])
