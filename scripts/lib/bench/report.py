"""What people read on a terminal."""
from stage import say

PHASES_SHOWN = ("receive", "tcp", "tls", "smtp", "intake", "transmit", "report", "keep")


def number(value, form="{:,.0f}", none="-"):
    return none if value is None else form.format(value)


def rows_of(cases):
    yield ("case", "a CPU second", "poll mode", "peer", "ratio", "limit", "of limit", "round trips", "p99 ms", "failed")
    for case in cases:
        engine = case.get("engine") or {}
        if "per_cpu_s" not in engine:
            continue
        peer, limit = case.get("peer") or {}, case.get("limit") or {}
        yield (case["case"], number(engine.get("per_cpu_s")), number(engine.get("per_poll_s")),
               f"{peer['name']} {number(peer['per_cpu_s'])}" if peer.get("per_cpu_s") else "-",
               number(case.get("ratio"), "{:.2f}"), number(limit.get("per_cpu_s")), number(case.get("of_limit"), "{:.2f}"),
               number(engine.get("round_trips"), "{:.2f}"),
               number(((engine.get("latency_us") or {}).get("p99") or 0) / 1000 or None, "{:,.1f}"), str(case["failed"]))


def phase_rows(cases):
    shown = [c for c in cases if (c.get("engine") or {}).get("phases")]
    if not shown:
        return
    yield ("cycles a message", *PHASES_SHOWN, "sum")
    for case in shown:
        phases = case["engine"]["phases"]
        yield (case["case"], *(f"{phases[p]:,}" for p in PHASES_SHOWN), f"{sum(phases.values()):,}")


def print_table(rows):
    rows = list(rows)
    if not rows:
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    say()
    for row in rows:
        first, rest = row[0].ljust(widths[0]), "  ".join(cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))
        say(f"  {first}  {rest}")


def print_other_peers(cases):
    for case in cases:
        for peer in case.get("peers", [])[1:]:
            say(f"    {case['case']}: {peer['name']} {number(peer['per_cpu_s'])} a CPU second, ratio "
                f"{number(peer['ratio'], '{:.2f}')}")


def print_report(found):
    cases = found["cases"]
    if len(rows := list(rows_of(cases))) > 1:
        print_table(rows)
    print_other_peers(cases)
    print_table(phase_rows(cases))
    for case in cases:
        for table in case.get("tables", []):
            print_table([tuple(str(cell) for cell in row) for row in table])
        for note in case["causes"] + case["notes"]:
            say(f"    {case['case']}: {note}")
