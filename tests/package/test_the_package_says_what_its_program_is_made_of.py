"""The program in Debian's package names its crates, and no folder of the machine that built it. The
licences and the list of parts (sbom.cdx.json) beside it name the same crates.
"""

import json
import subprocess
import zlib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = "usr/share/doc/easy-invite"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """A folder with the files of the package that scripts/package has built."""
    folder = tmp_path_factory.mktemp("unpacked")
    (package,) = (REPOSITORY / "dist").glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def crates(unpacked, tmp_path_factory):
    """The (name, version) of each crate in the program, as `cargo auditable` has written it there."""
    section = tmp_path_factory.mktemp("section") / "crates"
    copy = ["objcopy", "--output-target=binary", "--only-section=.dep-v0", "--set-section-flags", ".dep-v0=alloc"]
    subprocess.run([*copy, unpacked / "usr/bin/easy-invite", section], check=True)
    packages = json.loads(zlib.decompress(section.read_bytes()))["packages"]
    return {(package["name"], package["version"]) for package in packages
            if package["source"] != "local" and package.get("kind", "runtime") == "runtime"}


def test_the_program_names_its_crates(crates):
    assert {"rusqlite", "libsqlite3-sys", "ring", "tokio-xmpp"} <= {name for name, _ in crates}


def test_the_licence_of_each_crate_is_there(unpacked, crates):
    words = (unpacked / DOCUMENTS / "copyright").read_text().split()
    missing = {crate for crate in crates if "vendor/{}-{}/*".format(*crate) not in words}
    assert not missing


def test_the_list_of_parts_has_each_crate(unpacked, crates):
    parts = json.loads((unpacked / DOCUMENTS / "sbom.cdx.json").read_text())["components"]
    assert crates <= {(part["name"], part["version"]) for part in parts}


def test_no_folder_of_the_builder_is_in_the_package(unpacked):
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True).stdout
    folders = [str(REPOSITORY), str(Path.home() / ".cargo"), sysroot.strip()]
    named = [(path.name, folder) for path in unpacked.rglob("*") if path.is_file() and not path.is_symlink()
             for folder in folders if folder.encode() in path.read_bytes()]
    assert not named
