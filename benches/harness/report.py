# SPDX-License-Identifier: MIT OR Apache-2.0
"""From rounds to medians, ratios and the list of targets that were met or missed."""

from dataclasses import dataclass, field
import math
from statistics import median

from .peers import PEERS, Peer

FIGURES = ("rate", "p50", "p99", "max", "cpu", "user_share", "switches", "foreign", "unseen")
# With a larger share of unanswered requests in a round its p99 is that of the lucky ones.
MOST_UNSEEN = 0.25
# Issue targets: CPU per hello request against the ceiling at 32 connections.
CEILINGS = {"nginx": 2.5, "httpd": 1.2}


@dataclass
class Group:
    """All rounds of one scenario with one number of connections."""

    scenario: str
    title: str
    connections: int
    rounds: dict[str, list[dict]] = field(default_factory=dict)
    calls: dict[str, float] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    # Who takes part, and how often the cost of the ceiling a hello at 32 connections may be behind each server.
    peers: tuple[Peer, ...] = PEERS
    ceilings: dict[str, float] = field(default_factory=lambda: CEILINGS)

    def middle(self, peer: str, figure: str) -> float:
        return median(one[figure] for one in self.rounds[peer])

    def ratios(self, peer: str, other: str, figure: str) -> list[float]:
        """The ratio within each round: what disturbs a whole round disturbs both sides of it."""
        pairs = [(a[figure], b[figure]) for a, b in zip(self.rounds.get(peer, []), self.rounds.get(other, [])) if b[figure]]
        return [a / b for a, b in pairs]

    def ratio(self, peer: str, other: str, figure: str) -> float | None:
        ratios = self.ratios(peer, other, figure)
        return median(ratios) if ratios else None

    def errors(self, peer: str) -> int:
        return sum(one["errors"] for one in self.rounds[peer])

    def named(self, server: str, role: str) -> list[str]:
        return [peer.name for peer in self.peers if peer.server == server and peer.role == role and self.rounds.get(peer.name)]

    def rivals(self, server: str) -> list[str]:
        """Peers whose answers were right: who answers with errors is quick."""
        return [name for name in self.named(server, "peer") if not self.errors(name)]

    def is_seen(self, peer: str) -> bool:
        """Whether its rounds have seen enough answers for a p99."""
        return self.middle(peer, "unseen") <= MOST_UNSEEN

    def best(self, server: str, figure: str) -> str | None:
        rivals = [name for name in self.rivals(server) if figure != "p99" or self.is_seen(name)]
        return min(rivals, key=lambda name: self.middle(name, figure), default=None)

    def rows(self) -> list[dict]:
        rows = []
        for peer in self.peers:
            if not self.rounds.get(peer.name):
                continue
            ceiling = next(iter(self.named(peer.server, "ceiling")), None)
            best, quickest = self.best(peer.server, "cpu"), self.best(peer.server, "p99")
            row = {"peer": peer.name, "title": peer.title} | {figure: self.middle(peer.name, figure) for figure in FIGURES}
            row["calls"] = self.calls.get(peer.name)
            row["of_ceiling"] = self.ratio(peer.name, ceiling, "cpu") if ceiling else None
            row["of_best"] = self.ratio(peer.name, best, "cpu") if best else None
            row["p99_of_best"] = self.ratio(peer.name, quickest, "p99") if quickest else None
            row["errors"] = self.errors(peer.name)
            rows.append(row)
        return rows

    def verdicts(self) -> list[dict]:
        """Every promise that this group can judge."""
        found = []
        for server, limit in self.ceilings.items():
            for ours in self.named(server, "gangway"):
                if self.scenario == "hello" and self.connections == 32:
                    for ceiling in self.named(server, "ceiling"):
                        found.append(self.verdict(ours, ceiling, "cpu", limit))
                for peer in self.rivals(server):
                    figures = ("cpu", "p99") if self.is_seen(peer) else ("cpu",)
                    found += [self.verdict(ours, peer, figure, 1.0) for figure in figures]
        return found

    def verdict(self, ours: str, other: str, figure: str, limit: float) -> dict:
        sound = self.errors(ours) == 0 and (figure != "p99" or self.is_seen(ours))
        judged = judge(self.ratios(ours, other, figure), limit, sound)
        where = {"scenario": self.scenario, "connections": self.connections}
        return where | {"ours": ours, "other": other, "figure": figure} | judged


def judge(ratios: list[float], limit: float, sound: bool) -> dict:
    """`met`: the median is within the limit. `even`: it is above, by less than what the rounds differ."""
    if not ratios:
        return {"ratio": None, "limit": limit, "spread": (0.0, 0.0), "result": "MISSED"}
    ratio, (low, high) = median(ratios), spread(ratios)
    result = "met" if sound and ratio <= limit else "even" if sound and low <= limit else "MISSED"
    return {"ratio": ratio, "limit": limit, "spread": (low, high), "result": result}


def summary(verdicts: list[dict]) -> list[str]:
    """The number of each result, and every line that is not simply met."""
    counts = {result: sum(one["result"] == result for one in verdicts) for result in ("met", "even", "MISSED")}
    more = f", {counts['even']} even (above, by less than the rounds differ), {counts['MISSED']} missed"
    lines = [f"targets: {counts['met']} of {len(verdicts)} met{more}"]
    for one in verdicts:
        if one["result"] == "met" and one["limit"] == 1.0:
            continue
        where = f"{one['scenario']} at {one['connections']}" if "connections" in one else one["scenario"]
        low, high = one["spread"]
        between = f" ({low:.2f} to {high:.2f})" if low < high else ""
        ratio = f"{cell(one['ratio'], '.2f')}{between} x {one['other']}"
        lines.append(f"  {one['result']:6} {where}: {one['figure']} of {one['ours']} {ratio} (at most {one['limit']})")
    return lines


def spread(values: list[float]) -> tuple[float, float]:
    """Between which values the true median lies with a probability of 95 %: those so far from either end of the sorted list
    that fewer of so many tosses of a coin show heads no more often than one time in forty."""
    count, below, cut = len(values), 0.0, 0
    while below + math.comb(count, cut) / 2**count <= 0.025:
        below += math.comb(count, cut) / 2**count
        cut += 1
    values = sorted(values)
    return values[max(cut - 1, 0)], values[min(count - cut, count - 1)]


def cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def table(group: Group) -> str:
    head = f"{group.title}, {group.connections} connection{'s' if group.connections > 1 else ''}"
    form = "{:<23}{:>9}{:>9}{:>9}{:>9}{:>6}{:>8}{:>8}{:>9}{:>8}{:>8}  {}"
    lines = [head, form.format("", "req/s", "p50 us", "p99 us", "CPU us", "user", "ctxsw", "calls", "xceiling", "xbest", "p99", "")]
    for row in group.rows():
        note = f"{row['errors']} ERRORS" if row["errors"] else ""
        if row["foreign"] > 0.10:
            note += f" (others used {row['foreign']:.0%} of the machine)"
        if row["unseen"] > MOST_UNSEEN:
            note += f" (no p99: {row['unseen']:.0%} of what its clients waited was for no answer within a round)"
        values = [cell(row["rate"], ".0f"), cell(row["p50"], ".0f"), cell(row["p99"], ".0f"), cell(row["cpu"], ".1f")]
        values += [cell(row["user_share"], ".0%"), cell(row["switches"], ".2f"), cell(row["calls"], ".1f")]
        values += [cell(row[key], ".2f") for key in ("of_ceiling", "of_best", "p99_of_best")]
        lines.append(form.format(row["peer"], *values, note.strip()).rstrip())
    lines += [f"{name:<23}not measured: {reason}" for name, reason in group.absent.items()]
    return "\n".join(lines)
