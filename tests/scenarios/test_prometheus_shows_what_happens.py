"""Prometheus, as Debian has it, reads the daemon's metrics while people make invites and register.
Its numbers are those of what happened, and the dashboard and the alerts of contrib/ know them."""

import time

import pytest

from harness.prometheus import (DASHBOARD, RULES, Prometheus, dashboard_queries, metrics_settings, names_in, promtool,
                                scrape, shown)
from harness.server import Server
from harness.stories import (eventually, generate, new_account_invite, new_invite, register, registers, reset_link,
                             revoke)
from harness.web import Visitor, web_settings
from harness.xmpp import StanzaError

DAY = 24 * 60 * 60
STEP = 300  # seconds between two numbers of a day

@pytest.fixture(scope="module")
def server(prosody_version, store_url, tmp_path_factory):
    folder, settings = tmp_path_factory.mktemp("server"), {**web_settings(), **metrics_settings()}
    with Server(prosody_version, folder, store_url=store_url(), settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(server, tmp_path_factory):
    with Prometheus(tmp_path_factory.mktemp("prometheus"), server) as running:
        yield running


async def test_people_make_invites_and_use_them(server, prometheus):
    async with await server.login("alice") as alice, await server.login("admin") as admin:
        for_carol, for_erin = await new_invite(alice), await new_invite(alice)
        await new_account_invite(admin, {})
        reset = await reset_link(admin, "bob@example.org")
        operators = generate(server)
    await register(server, "carol", for_carol)
    assert (await Visitor(server).register(for_erin, "erin")).status == 200
    assert (await Visitor(server).reset(reset, "bob's password")).status == 200
    assert not await registers(server, "dave", for_carol)
    revoke(server, operators)
    async with await server.connect() as stream:
        with pytest.raises(StanzaError):
            await stream.preauth("A" * 24)
    expected = {
        'easy_invite_invites_created_total{type="account-and-contact", by="user"}': 2,
        'easy_invite_invites_created_total{type="account", by="admin"}': 1,
        'easy_invite_invites_created_total{type="password-reset", by="admin"}': 1,
        'easy_invite_invites_created_total{type="account", by="cli"}': 1,
        'easy_invite_uses_redeemed_total{purpose="register", door="xmpp"}': 1,
        'easy_invite_uses_redeemed_total{purpose="register", door="web"}': 1,
        'easy_invite_uses_redeemed_total{purpose="reset", door="web"}': 1,
        'easy_invite_refusals_total{reason="used_up"}': 1,
        "easy_invite_guesses_total": 1,
        "easy_invite_invites_pending": 1,
        "easy_invite_uses_open": 0,
        "easy_invite_notices_queued": 0,
        "easy_invite_addresses_refused": 0,
        "easy_invite_component_connected": 1,
        "easy_invite_hook_up": 1,
        'easy_invite_request_seconds_count{request="redeem"} >= bool 3': 1,
        "sum(easy_invite_invites_created_total)": 5,
        "sum(easy_invite_uses_redeemed_total)": 3,
        'count(easy_invite_build_info{version!=""})': 1,
        "easy_invite_store_commit_seconds_count > bool 5": 1,
    }
    def others():
        return {query: number for query in expected if (number := prometheus.number(query)) != expected[query]}
    try:
        await eventually(lambda: not others(), "Prometheus has the right numbers")
    except AssertionError as error:
        raise AssertionError(f"{error}: {others()}") from None
    hosts = prometheus.ask("label/host/values")
    assert hosts == ["example.org"], hosts


async def test_the_dashboard_and_the_alerts_know_every_number(server, prometheus):
    exposed = names_in(scrape(server))
    families = {name.removesuffix(ending) for name in exposed for ending in ("_bucket", "_count", "_sum", "")}
    dashboard, rules = names_in(DASHBOARD.read_text()), names_in(RULES.read_text())
    assert dashboard <= exposed and rules <= exposed, (dashboard | rules) - exposed
    known = {name.removesuffix("_bucket") for name in dashboard | rules}
    series = {name for name in known if name in families}
    assert len(series) == 13, f"the dashboard shows all of them: {sorted(series)}"
    await eventually(lambda: prometheus.number('up{job="easy-invite"}') == 1, "Prometheus has asked the daemon")
    loaded = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(loaded) == RULES.read_text().count("alert:")
    await eventually(lambda: all(rule["health"] == "ok" for group in prometheus.ask("rules")["groups"]
                                 for rule in group["rules"]), "every alert is evaluated")
    await eventually(lambda: prometheus.ask("alerts")["alerts"] == [], "no alert is pending")


def of_the_job(series: str) -> str:
    """A series with the labels that Prometheus adds."""
    name, _, labels = series.partition("{")
    return f'{name}{{job="easy-invite",instance="127.0.0.1:5381"{"," + labels if labels else "}"}'


def is_steady(series: str) -> bool:
    """Whether a number stays as it is, on the day of the test. All others grow."""
    return "build_info" in series or "_up" in series or "connected" in series


@pytest.mark.one_setup
async def test_the_dashboard_shows_a_day(server, tmp_path):
    await eventually(lambda: any("invites_pending" in series for series in shown(server)), "the invites are counted")
    begin, lines = int(time.time()) // STEP * STEP - DAY, []
    for line in scrape(server).splitlines():
        series, _, _ = line.rpartition(" ")
        lines += [line] if line.startswith("#") else [
            f"{of_the_job(series)} {1 if is_steady(series) else number} {begin + number * STEP}"
            for number in range(DAY // STEP)]
    openmetrics = tmp_path / "day.txt"
    openmetrics.write_text("\n".join([*lines, ""]))
    watching = Prometheus(tmp_path, server)
    promtool("tsdb", "create-blocks-from", "openmetrics", openmetrics, watching.data)
    with watching:
        for title, query in dashboard_queries().items():
            if title == "Daemon A":
                continue  # whether the daemon answered, only Prometheus itself knows
            found = watching.ask("query_range", query=query, start=begin + 3600, end=begin + DAY - STEP, step=STEP)
            points = max((len(series["values"]) for series in found["result"]), default=0)
            assert points > DAY // STEP * 9 // 10, f"{title}: {points} points of a day: {query}"
