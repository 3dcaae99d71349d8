"""The table of a campaign: step by fault by outcome."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

KINDS = ("WRONG BOOT", "HANG", "LEAK", "WORDS", "NEXT RUN", "JUDGE")
"""First words of problems."""


def outcome_class(outcome: str) -> str:
    """A column: the number of attempts and the exit code are told in rows of their own."""
    if outcome.startswith("booted by"):
        return "retried"
    if outcome.startswith("booted"):
        return "booted"
    if outcome.startswith("refused"):
        return "refused"
    if outcome.startswith("guest ran"):
        return "ran, error"
    return outcome


_COLUMNS = ("booted", "retried", "refused", "ran, error", "killed, no boot", "killed, guest ran")


def lines(results: Iterable[dict[str, object]]) -> Iterator[str]:
    """The table, and its sums."""
    results = list(results)
    rows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for result in results:
        row = rows[str(result["step"]), str(result["fault"])]
        if not result["injected"]:
            row["not injected"] += 1
            continue
        row[outcome_class(str(result["outcome"]))] += 1
        row["problems"] += len(result["problems"])  # type: ignore[arg-type]
    columns = (*_COLUMNS, "problems", "not injected")
    width = max((len(step) for step, _ in rows), default=4)
    fault_width = max((len(fault) for _, fault in rows), default=5)
    yield f"{'step':{width}}  {'fault':{fault_width}}  " + "  ".join(columns)
    for (step, fault), row in rows.items():
        counts = "  ".join(f"{row[column] or '':>{len(column)}}" for column in columns)
        yield f"{step:{width}}  {fault:{fault_width}}  {counts}"
    yield ""
    yield from sums(results)


def sums(results: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """Outcomes with their exit codes, what was injected, and problems by their kinds."""
    results = list(results)
    codes: Counter[str] = Counter()
    guests: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    for result in results:
        if result["injected"]:
            codes[str(result["outcome"])] += 1
            guests[str(result["guest"])] += 1
            for problem in result["problems"]:  # type: ignore[attr-defined]
                problems[problem.partition(":")[0]] += 1
    for outcome, count in codes.most_common():
        yield f"{count:6}  {outcome}"
    yield ", ".join(f"{guest}: {count}" for guest, count in guests.most_common())
    injected = sum(bool(result["injected"]) for result in results)
    swept = sum(bool(result["swept"]) for result in results)
    yield ""
    yield f"{injected} faults injected in {len(results)} trials, {swept} left work for cleanup"
    yield ", ".join(f"{kind.lower()}: {problems[kind]}" for kind in KINDS)
