"""`sslrootcert=system` in the image: PostgreSQL by TLS, with a certificate of an authority that the
image's list has, or has not.
"""

import shutil
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from harness.containers import IMAGE, once, podman
from harness.postgres import Postgres

NAME = "db.example.org"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


@pytest.fixture
def authority(postgres: Postgres, tmp_path: Path) -> Path:
    """The certificate of an authority. It has signed that of PostgreSQL."""
    (tmp_path / "names").write_text(f"subjectAltName=DNS:{NAME}\nbasicConstraints=CA:FALSE\n")
    new_key = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
        [*new_key, "-x509", "-keyout", "authority.key", "-out", "authority.crt", "-subj", "/CN=An authority"],
        [*new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={NAME}"],
        ["openssl", "x509", "-req", "-in", "server.csr", "-CA", "authority.crt", "-CAkey", "authority.key",
         "-extfile", "names", "-out", "server.crt"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    with psycopg.connect(postgres.create_database(), autocommit=True) as connection:
        for setting, name in (("ssl_key_file", "server.key"), ("ssl_cert_file", "server.crt")):
            file = Path(shutil.copy(tmp_path / name, postgres.folder / name))
            file.chmod(0o600)
            shutil.chown(file, "postgres")
            connection.execute(f"ALTER SYSTEM SET {setting} = '{file}'")
        connection.execute("ALTER SYSTEM SET ssl = on")
        connection.execute("SELECT pg_reload_conf()")
        while connection.execute("SHOW ssl").fetchone() != ("on",):
            time.sleep(0.05)
    return tmp_path / "authority.crt"


def test_an_authority_of_the_list_is_trusted_and_no_other(postgres: Postgres, authority: Path) -> None:
    """The image's own list has many, and not this one until it is mounted."""
    url = postgres.create_database().replace("127.0.0.1", NAME) + "?sslmode=verify-full&sslrootcert=system"
    options = ["--add-host", f"{NAME}:127.0.0.1", "--env", f"EASY_INVITE_STORE={url}",
               "--env", "EASY_INVITE_JID=invite.example.org", "--env", "EASY_INVITE_HOSTS=example.org"]
    refused = once("generate", "example.org", options=options)
    assert refused.returncode == 1 and "certificate" in refused.stderr, refused.stderr
    mounted = ["--volume", f"{authority}:{AUTHORITIES}:ro"]
    made = once("generate", "example.org", options=[*options, *mounted])
    assert made.stdout.startswith("xmpp:example.org?register;preauth="), made.stderr


def test_the_list_is_debians() -> None:
    """It has the authorities that Debian trusts, and no program is needed to read it."""
    name = "listed"
    podman("create", "--name", name, "--network", "none", IMAGE)
    try:
        copied = podman("cp", f"{name}:{AUTHORITIES}", "-").stdout
    finally:
        podman("rm", name)
    assert copied.count("BEGIN CERTIFICATE") > 100
