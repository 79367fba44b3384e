"""Prosody lets nobody register without encryption, unless it is told to. Where no client can encrypt,
`easy-invite check` and the daemon's log say why, and what to do."""

import json
import os
import subprocess

import pytest

from harness.clock import Clock
from harness.server import Server
from harness.stories import eventually

ENCRYPTED = """\
    modules_enabled = { "easy_invite"; "tls" }
    c2s_require_encryption = true
"""
IMPORT = "prosodyctl --root cert import example.org /etc/letsencrypt/live"


@pytest.fixture(scope="module")
def server(prosody_version, tmp_path_factory):
    with Server(prosody_version, tmp_path_factory.mktemp("server"), hosts={"example.org": ENCRYPTED}) as running:
        yield running


@pytest.fixture(autouse=True)
def without_certificate(server):
    """Each test begins without a certificate."""
    yield
    for file in (server.prosody.folder / "certs").iterdir():
        file.unlink()
    server.prosody.hosts["example.org"] = ENCRYPTED


def make_certificate(server, name: str = "example.org", clock: Clock | None = None) -> None:
    """Makes one that is good for a week from now, or by this clock."""
    key, certificate = (server.prosody.folder / "certs" / f"example.org.{kind}" for kind in ("key", "crt"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "7", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True,
                   env={**os.environ, **(clock.environment if clock else {})})


def warnings(server) -> list[str]:
    """What `check` warns of, with everything else well."""
    server.prosody.restart()
    server.daemon.restart()  # by itself, it would wait longer before each new connection
    checked = server.daemon.cli("--json", "check")
    assert checked.returncode == 0, checked.stdout
    lines = [json.loads(line) for line in checked.stdout.splitlines()]
    assert all((line["part"], line["host"]) == ("hook", "example.org") for line in lines if line["warning"])
    return [line["detail"] for line in lines if line["warning"]]


def assert_warned(server, *words: str) -> None:
    [warning] = warnings(server)
    assert "lets nobody register or log in" in warning
    for word in words:
        assert word in warning, warning


async def test_without_a_certificate(server):
    assert_warned(server, "it has no certificate", IMPORT)
    await eventually(lambda: any("it has no certificate" in line for line in server.daemon.log.splitlines()
                                 if "WARN" in line), "the daemon's log says so")


def test_with_a_certificate(server):
    make_certificate(server)
    assert warnings(server) == []


@pytest.mark.parametrize("days", [-8, 1])
def test_the_certificate_has_expired_or_is_not_good_yet(server, tmp_path, days):
    clock = Clock(tmp_path)
    clock.set(days * 24 * 60 * 60)
    make_certificate(server, clock=clock)
    assert_warned(server, f"{server.prosody.folder}/certs/example.org.crt is valid from", IMPORT)


def test_the_certificate_is_for_another_name(server):
    make_certificate(server, "www.example.org")
    assert_warned(server, "example.org.crt is for other names (prosodyctl check certs)", IMPORT)


def test_the_key_is_of_another_certificate(server):
    make_certificate(server)
    key = server.prosody.folder / "certs" / "example.org.key"
    other = key.read_text()
    make_certificate(server)
    key.write_text(other)
    assert_warned(server, "cannot be used", f"key: {key}", "systemctl reload prosody")


def test_the_key_is_not_one(server):
    make_certificate(server)
    (server.prosody.folder / "certs" / "example.org.key").write_text("nothing")
    assert_warned(server, "cannot be used", "error loading private key")


def test_mod_tls_is_not_enabled(server):
    server.prosody.hosts["example.org"] = ENCRYPTED.replace('; "tls"', "")
    assert_warned(server, "mod_tls is not loaded", 'add "tls" to modules_enabled')


def test_encryption_is_not_required(server):
    server.prosody.hosts["example.org"] = ENCRYPTED.replace("= true", "= false")
    assert warnings(server) == []
