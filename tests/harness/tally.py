"""What became of everybody while parts of a server failed."""

from collections import Counter
from dataclasses import dataclass, field, fields


@dataclass
class Tally:
    """The faults and the results so far."""

    faults: Counter = field(default_factory=Counter)
    invites: int = 0
    accounts: int = 0
    refusals: Counter = field(default_factory=Counter)
    shortfalls: int = 0
    losses: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """How often a process was killed."""
        return sum(count for name, count in self.faults.items() if name.startswith("kill"))

    def __iadd__(self, other: "Tally") -> "Tally":
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))
        return self

    def __str__(self) -> str:
        faults, refusals = (", ".join(f"{name} {count}" for name, count in sorted(counter.items()))
                            for counter in (self.faults, self.refusals))
        return (f"{self.kills} kills ({faults}), {self.invites} invites, {self.accounts} accounts, "
                f"{self.shortfalls} grants that failed for good, failed registrations ({refusals}), "
                f"{len(self.losses)} losses, {len(self.doubles)} doubles")
