"""What is in the image, and what it says of itself."""

import io
import json
import os
import tarfile
import tomllib
from pathlib import Path

import pytest

from harness.containers import IMAGE, once, podman
from harness.daemon import REPOSITORY

MOST_BYTES = 30_000_000
USER = 5347


@pytest.fixture(scope="module")
def image() -> dict:
    """What Podman knows of the image."""
    return json.loads(podman("image", "inspect", IMAGE).stdout)[0]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tarfile.TarInfo]:
    """Its files by their paths, with what a container adds."""
    archive = tmp_path_factory.mktemp("image") / "image.tar"
    name = "exported"
    podman("create", "--name", name, "--network", "none", IMAGE)
    podman("export", "--output", archive, name)
    podman("rm", name)
    with tarfile.open(archive) as opened:
        return {f"/{member.name.strip('./')}": member for member in opened}


def test_it_is_small_and_says_what_it_is(image: dict) -> None:
    """Labels that registries read, the daemon's user, and at most 30 MB in a release build."""
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in image["Labels"].items()}
    package = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["package"]
    assert (labels["title"], labels["version"], labels["licenses"]) == \
        (package["name"], package["version"], package["license"])
    assert labels["description"]
    assert image["Config"]["User"] == f"{USER}:{USER}"
    assert image["Config"]["ExposedPorts"] == {"5380/tcp": {}}
    assert list(image["Config"]["Volumes"]) == ["/var/lib/easy-invite"]
    assert image.get("HealthCheck") is None
    is_release = os.environ.get("EASY_INVITE_PROFILE", "release") == "release"
    assert image["Size"] <= MOST_BYTES or not is_release, f"{image['Size']} bytes"


def test_there_is_one_program_and_its_store_is_the_daemons(files: dict[str, tarfile.TarInfo]) -> None:
    """No shell, no dot file of a new home, nothing that is the user's but the store's folder."""
    programs = [path for path, file in files.items() if file.isfile() and file.mode & 0o111 and ".so" not in path]
    assert programs == ["/usr/bin/easy-invite"]
    store = files["/var/lib/easy-invite"]
    assert (store.uid, store.gid, store.mode & 0o7777) == (USER, USER, 0o700)
    assert not [path for path in files if path.startswith("/var/lib/easy-invite/")]
    assert [path for path, file in files.items() if file.uid == USER] == ["/var/lib/easy-invite"]
    assert not [path for path, file in files.items() if file.mode & 0o002 and file.isfile()]


def test_the_module_comes_out_of_it(tmp_path: Path) -> None:
    """As lines of JSON, and into a folder of this machine."""
    printed = once("prosody-module", "--json")
    texts = {file["file"]: file["text"] for file in map(json.loads, printed.stdout.splitlines())}
    done = once("prosody-module", "--install", "/modules", options=["--user", "0", "--volume", f"{tmp_path}:/modules"])
    assert done.returncode == 0, done.stderr
    installed = {str(file.relative_to(tmp_path)): file.read_text() for file in tmp_path.rglob("*") if file.is_file()}
    assert installed == texts and "mod_easy_invite/mod_easy_invite.lua" in texts


def test_the_first_configuration_comes_out_of_it() -> None:
    """With a secret of its own each time, the same in the lines for Prosody."""
    first, second = (once("init", "--host", "example.org", "--output", "-") for _ in range(2))
    secrets = [tomllib.load(io.BytesIO(made.stdout.encode()))["component"]["secret"] for made in (first, second)]
    assert f'component_secret = "{secrets[0]}"' in first.stderr and secrets[0] != secrets[1]
