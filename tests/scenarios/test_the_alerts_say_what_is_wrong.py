"""The alerts of contrib/ fire when something has been wrong for long enough, and at no other time:
promtool plays days of numbers."""

from harness.daemon import REPOSITORY
from harness.prometheus import RULES, promtool

CASES = REPOSITORY / "tests" / "harness" / "alerts.test.yml"


def test_each_alert_fires_in_its_case_alone():
    alerts = RULES.read_text().count("alert: ")
    assert f"{alerts} rules found" in promtool("check", "rules", RULES)
    named = [line.split()[-1] for line in RULES.read_text().splitlines() if "alert: " in line]
    cases = CASES.read_text()
    assert all(f"alertname: {name}" in cases for name in named)
    assert "SUCCESS" in promtool("test", "rules", CASES)
