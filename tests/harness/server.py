"""What an operator runs: a Prosody with mod_easy_invite, the daemon, and a few users."""

from collections.abc import Mapping
from pathlib import Path

from .clock import Clock
from .daemon import Daemon, default_config
from .prosody import Prosody
from .xmpp import Client

USERS = ("alice", "bob", "admin")

# The files that a version of Prosody wrote for a host's users. Further servers get copies.
_files_of_users: dict[tuple[str, str], dict[Path, bytes]] = {}


def password_of(username: str) -> str:
    """The password of a user of these servers."""
    return f"{username}'s password"


class Server:
    """A Prosody and its daemon. A context manager: they run within `with`, and end with it.

    alice, bob and admin are users of the first VirtualHost. admin is one of Prosody's `admins`.
    """

    def __init__(self, version: str, folder: Path, *, store_url: str = "sqlite:easy-invite.db",
                 settings: Mapping | None = None, run_daemon: bool = True,
                 environment: Mapping[str, str] | None = None, movable_clock: bool = False, **prosody_options: object):
        """Describes the two. `start` (or `with`) runs them.

        - `store_url`: the daemon's store.
        - `settings`: changes to `daemon.default_config`, table by table. None removes a key or
          table.
        - `run_daemon`: False leaves it to the test to start the daemon.
        - `environment`: more environment variables for the daemon.
        - `movable_clock`: both run by `clock`, which the test can set.
        - the rest: see `Prosody`.
        """
        prosody_options.setdefault("admins", ["admin@example.org"])
        self.clock = Clock(folder / "clock") if movable_clock else None
        by_clock = self.clock.environment if self.clock else {}
        self.prosody = Prosody(version, folder / "prosody", environment=by_clock, **prosody_options)
        self.domain = next(iter(self.prosody.hosts))
        component, secret = next(iter(self.prosody.components.items()))
        self.component = component
        config = default_config(self.prosody.component_port, secret, jid=component, hosts=self.prosody.hosts)
        config["store"]["url"] = store_url
        _merge(config, settings or {})
        self.daemon = Daemon(folder / "daemon", config, environment={**by_clock, **(environment or {})})
        self._run_daemon = run_daemon

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Creates the users and starts Prosody and the daemon."""
        self.make_users()
        self.prosody.start()
        try:
            if self._run_daemon:
                self.daemon.start()
        except BaseException:
            self.prosody.kill()
            raise

    def make_users(self) -> None:
        """Creates the users, before Prosody starts for the first time."""
        data = self.prosody.data_folder
        kind = (self.prosody.version, self.domain)
        if self.prosody.storage == "internal" and kind in _files_of_users:
            for path, content in _files_of_users[kind].items():
                (data / path).parent.mkdir(parents=True, exist_ok=True)
                (data / path).write_bytes(content)
            return
        for username in USERS:
            self.prosody.adduser(f"{username}@{self.domain}", password_of(username))
        if self.prosody.storage == "internal":
            files = [path for path in data.rglob("*") if path.is_file()]
            _files_of_users[kind] = {path.relative_to(data): path.read_bytes() for path in files}

    def stop(self) -> None:
        """Stops both."""
        try:
            self.daemon.stop()
        finally:
            self.prosody.stop()

    def kill(self) -> None:
        """Kills both, for when they are not needed any more."""
        self.daemon.kill()
        self.prosody.kill()

    def revive(self) -> None:
        """Starts the one that was killed, or both, without waiting for the daemon's login."""
        if self.prosody.pid is None:
            self.prosody.start()
        if self.daemon.pid is None:
            self.daemon.start(wait=False)

    async def connect(self, domain: str | None = None, *, source: str | None = None,
                      language: str | None = None) -> Client:
        """A client's stream that has not logged in, from this local address, in this language."""
        return await Client.connect("127.0.0.1", self.prosody.c2s_port, domain or self.domain, tls=self.prosody.tls,
                                    source=source, language=language)

    async def login(self, username: str, password: str | None = None, *, domain: str | None = None,
                    resource: str | None = None, presence: bool = True, language: str | None = None) -> Client:
        """A user's stream, logged in and available."""
        client = await self.connect(domain, language=language)
        return await client.login(username, password_of(username) if password is None else password,
                                  resource=resource, presence=presence)


def _merge(config: dict, settings: Mapping) -> None:
    for key, value in settings.items():
        if value is None:
            config.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(config.get(key), dict):
            _merge(config[key], value)
        else:
            config[key] = value
