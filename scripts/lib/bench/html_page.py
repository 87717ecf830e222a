"""The page with the plots: one file, SVG, nothing from the network, readable on light and dark."""
import html
import math

from accounting import PHASES
from report import number, rows_of

WIDTH, BAR, GAP, LABEL = 860, 18, 8, 150
COLOURS = {"receive": "#4e79a7", "tcp": "#59a14f", "tls": "#e15759", "smtp": "#f28e2b", "intake": "#b07aa1",
           "transmit": "#76b7b2", "report": "#edc948", "keep": "#9c755f"}
LINES = ["#4e79a7", "#e15759", "#59a14f", "#f28e2b", "#b07aa1", "#76b7b2", "#9c755f", "#edc948"]
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667; --back: #fff; --line: #d5d9e0; --ours: #2f6fb3; --theirs: #9aa3ae;
        --limit: #c0392b; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #9aa3ae; --back: #16181c; --line: #363b44; --ours: #6aa7e8; --theirs: #6b737f; --limit: #ff7b6b; } }
body { background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; max-width: 900px; margin: 2em auto;
       padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
p, li, small { color: var(--soft); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; display: block; overflow-x: auto;
        margin: .8em 0; }
th, td { text-align: right; padding: .2em .45em; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom; } th:first-child, td:first-child { text-align: left; padding-left: 0; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .soft { fill: var(--soft); } svg .grid { stroke: var(--line); } .bad { color: var(--limit); font-weight: 600; }
.key { display: flex; flex-wrap: wrap; gap: .3em 1.2em; font-size: 13px; margin: .5em 0; }
.key i { display: inline-block; width: .9em; height: .9em; border-radius: 2px; margin-right: .4em; vertical-align: -1px; }
"""


def esc(text):
    return html.escape(str(text))


def text(x, y, words, anchor="start", css=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">{esc(words)}</text>'


def rect(x, y, width, height, fill, title=""):
    hint = f"<title>{esc(title)}</title>" if title else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height}" rx="2" fill="{fill}">{hint}</rect>'


def line(x1, y1, x2, y2, css="grid", extra=""):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}" {extra}/>'


def svg(height, parts, name):
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{esc(name)}">{"".join(parts)}</svg>'


def key(pairs):
    return '<div class="key">' + "".join(f'<span><i style="background:{c}"></i>{esc(n)}</span>' for n, c in pairs) + "</div>"


def stroke(index):
    """(colour, dashes, what its key looks like) of the line with that number: more lines than colours are told apart by dashes."""
    colour = LINES[index % len(LINES)]
    if index < len(LINES):
        return colour, "", colour
    return colour, 'stroke-dasharray="7 4"', f"repeating-linear-gradient(90deg, {colour} 0 4px, transparent 4px 6px)"


def table(rows):
    head, *body = [[esc(cell) for cell in row] for row in rows]
    lines = ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in body]
    return "<table><tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>" + "".join(lines) + "</table>"


def sent(cases):
    return [c for c in cases if (c.get("engine") or {}).get("phases")]


# ---- throughput and CPU

def bars_of(case):
    yield "hardline", case["engine"]["per_cpu_s"], "var(--ours)"
    for peer in case["peers"]:
        yield peer["name"], peer["per_cpu_s"], "var(--theirs)"


def bar_chart(cases, figure, form, name):
    """figure(units a CPU second) of hardline and the peers as bars, of the limit as a line; each case on a scale of its own."""
    parts, y, wide = [], 4, WIDTH - LABEL - 160
    for case in cases:
        bars = [(n, figure(v), c) for n, v, c in bars_of(case) if v]
        limit = figure(case["limit"]["per_cpu_s"]) if case.get("limit") else None
        top = max([v for _, v, _ in bars] + ([limit] if limit else []), default=1)
        words = ([f"{case['ratio']:.2f} times {case['peer']['name']}"] if case.get("ratio") else []) + (
            [f"limit {form.format(limit)}"] if limit else [])
        from_y = y
        parts += [text(0, y + 13, case["case"])] + [text(0, y + 28 + 15 * i, w, css="soft") for i, w in enumerate(words)]
        for which, value, colour in bars:
            parts.append(rect(LABEL, y, wide * value / top, BAR, colour, f"{which}: {form.format(value)}"))
            parts.append(text(LABEL + wide * value / top + 6, y + 13, f"{form.format(value)}  {which}"))
            y += BAR + 3
        y = max(y, from_y + 19 + 15 * len(words))
        if limit:
            x = LABEL + wide * limit / top
            parts.append(line(x, from_y - 2, x, y, "", 'stroke="var(--limit)" stroke-width="2" stroke-dasharray="4 3"'))
        y += GAP * 2
    return svg(y, parts, name) + key([("hardline", "var(--ours)"), ("peers", "var(--theirs)"), ("limit by arithmetic", "var(--limit)")])


def throughput(cases):
    return bar_chart(cases, lambda rate: rate, "{:,.0f}", "units of work a CPU second")


def cpu_plot(cases):
    return bar_chart(cases, lambda rate: 1e6 / rate, "{:,.1f} us", "CPU time a unit of work")


def cpu(cases):
    """The same in figures, by the two clocks."""
    rows = [("case", "charged us", "poll mode us", "poll / charged", "all charged us", "peers us")]
    for case in cases:
        e = case["engine"]
        units = e["per_cpu_s"] * e["cpu_s"] if e["per_cpu_s"] and e["cpu_s"] else 0
        rows.append((case["case"], number(1e6 / e["per_cpu_s"] if e["per_cpu_s"] else None, "{:,.1f}"),
                     number(1e6 / e["per_poll_s"] if e["per_poll_s"] else None, "{:,.1f}"),
                     number(e.get("poll_to_charged"), "{:.3f}"),
                     number(e["raw_cpu_s"] * 1e6 / units if units else None, "{:,.1f}"),
                     ", ".join(f"{p['name']} {1e6 / p['per_cpu_s']:,.0f}" for p in case["peers"] if p["per_cpu_s"]) or "-"))
    return table(rows)


# ---- cycles

def cycles(cases):
    """Cycles a unit by phase, stacked, in shares; the sum beside it."""
    parts, y, wide = [], 4, WIDTH - LABEL - 130
    for case in cases:
        phases = case["engine"]["phases"]
        total, x = sum(phases.values()) or 1, LABEL
        parts.append(text(0, y + 14, case["case"]))
        for phase in PHASES:
            width = wide * phases[phase] / total
            parts.append(rect(x, y, width, BAR + 2, COLOURS[phase], f"{phase}: {phases[phase]:,} cycles, {phases[phase] / total:.0%}"))
            if width > 46:
                parts.append(f'<text x="{x + width / 2:.1f}" y="{y + 14}" text-anchor="middle" style="fill:#fff">'
                             f"{phases[phase] / total:.0%}</text>")
            x += width
        parts.append(text(LABEL + wide + 8, y + 14, f"{total:,} cycles"))
        y += BAR + 2 + GAP
    return svg(y, parts, "cycles by phase") + key([(p, COLOURS[p]) for p in PHASES])


# ---- latency

def percentile_curve(buckets):
    """[(share of all above, milliseconds)] of [microseconds, count] pairs."""
    total, seen = sum(count for _, count in buckets), 0
    for value, count in buckets:
        seen += count
        yield 1 - (seen - count / 2) / total, value / 1000


def milliseconds(value):
    return f"{value:g} ms" if value < 1000 else f"{value / 1000:g} s"


def latency(cases):
    """Milliseconds by percentile, the axis of HdrHistogram: each step to the right leaves a tenth of the rest."""
    shown = [c for c in cases if (c["engine"].get("latency_us") or {}).get("buckets")]
    if not shown:
        return "<p>none</p>"
    curves = [(c["case"], list(percentile_curve(c["engine"]["latency_us"]["buckets"]))) for c in shown]
    left, right, top, bottom, decades = 76, WIDTH - 20, 10, 300, 5
    values = [ms for _, curve in curves for _, ms in curve]
    low, high = math.floor(math.log10(max(min(values), 0.001))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def x_of(share):
        return left + (right - left) * min(-math.log10(max(share, 10 ** -decades)), decades) / decades

    def y_of(ms):
        return bottom - (bottom - top) * (math.log10(max(ms, 10 ** low)) - low) / (high - low)
    parts = []
    for power in range(low, high + 1):
        y = y_of(10 ** power)
        parts += [line(left, y, right, y), text(left - 8, y + 4, milliseconds(10 ** power), "end", "soft")]
    for share, label in ((1, "0 %"), (0.5, "50 %"), (0.1, "90 %"), (0.01, "99 %"), (0.001, "99.9 %"), (0.0001, "99.99 %")):
        parts += [line(x_of(share), top, x_of(share), bottom), text(x_of(share), bottom + 18, label, "middle", "soft")]
    for index, (name, curve) in enumerate(curves):
        points = " ".join(f"{x_of(share):.1f},{y_of(ms):.1f}" for share, ms in curve)
        colour, dashes, _ = stroke(index)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" {dashes}>'
                     f"<title>{esc(name)}</title></polyline>")
    return svg(bottom + 30, parts, "latency by percentile") + key(
        [(name, stroke(i)[2]) for i, (name, _) in enumerate(curves)])


# ---- connections

def scaling(cases):
    """Cost of a message and memory of a connection over the number of connections."""
    points = [c for c in cases if c.get("scaling")]
    if not points:
        return "<p>The case conns was not run.</p>"
    rows = [("connections", "kind", "open", "us a message", "poll mode us", "bytes a connection", "at most", "failed")]
    rows += [(f"{s['connections']:,}", s["kind"], f"{s['open']:,}", number(s["us_per_message"], "{:,.1f}"),
              number(s["poll_us_per_message"], "{:,.1f}"), number(s["bytes_per_connection"]),
              number(s.get("most_bytes_per_connection")), f"{s['failed']:,}") for c in points for s in c["scaling"]]
    return table(rows) + scaling_plot([s for c in points for s in c["scaling"] if s["us_per_message"]])


def scaling_plot(points):
    if len(points) < 2:
        return ""
    kinds = sorted({p["kind"] for p in points})
    left, right, top, bottom = 60, WIDTH - 40, 10, 220
    most, least = max(p["connections"] for p in points), min(p["connections"] for p in points)
    highest, span = max(p["us_per_message"] for p in points) * 1.1, math.log10(most / least) or 1

    def at(p):
        return (left + (right - left) * math.log10(p["connections"] / least) / span,
                bottom - (bottom - top) * p["us_per_message"] / highest)
    parts = [line(left, bottom, right, bottom), text(left - 8, top + 8, f"{highest:,.0f} us", "end", "soft")]
    for index, kind in enumerate(kinds):
        marks = [at(p) for p in sorted(points, key=lambda p: p["connections"]) if p["kind"] == kind]
        colour = LINES[index % len(LINES)]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in marks)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in marks]
    for count in sorted({p["connections"] for p in points}):
        parts.append(text(left + (right - left) * math.log10(count / least) / span, bottom + 18, f"{count:,}", "middle", "soft"))
    return svg(bottom + 30, parts, "cost of a message by connections") + key(
        [(kind, LINES[i % len(LINES)]) for i, kind in enumerate(kinds)])


# ---- the page

def host(found):
    words = [f"{name} {value}" for name, value in found["host"].items() if name != "notes" and value not in ("", None)]
    return "<p>" + esc("; ".join(words)) + "</p>"


def notes(found):
    items = [f"<li>{esc(c['case'])}: {esc(n)}</li>" for c in found["cases"] for n in c["causes"] + c["notes"]]
    items += [f"<li>{esc(n)}</li>" for n in found["host"].get("notes", [])]
    items += [f'<li>{esc(c["case"])}: limit {c["limit"]["per_cpu_s"]:,.0f}: {esc(c["limit"]["why"])}</li>'
              for c in found["cases"] if c.get("limit")]
    return "<ul>" + "".join(items) + "</ul>" if items else ""


def body(found):
    mail, parts = sent(found["cases"]), []
    if found["troubles"]:
        parts += [f'<p class="bad">{esc(t)}</p>' for t in found["troubles"]]
    rows = list(rows_of(found["cases"]))
    parts += [host(found), *([table(rows)] if len(rows) > 1 else [])]
    if mail:
        parts += ["<h2>Work a CPU second</h2>", throughput(mail), "<h2>CPU time a unit of work</h2>", cpu_plot(mail), cpu(mail),
                   "<h2>Where the cycles go</h2>", cycles(mail), "<h2>Latency</h2>",
                   "<p>From handing over to the result, with as many messages in flight as the case has: the wait for others "
                   "is part of it.</p>", latency(mail)]
    for case in found["cases"]:
        tables = case.get("tables", []) if not case.get("scaling") else []
        parts += [f"<h2>{esc(case['case'])}</h2>", *map(table, tables)] if tables else []
    parts += ["<h2>Connections</h2>", scaling(found["cases"]), "<h2>Notes</h2>", notes(found)]
    return "\n".join(parts)


def write(path, found):
    with open(path, "w") as f:
        f.write(f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><title>hardline benchmarks</title>'
                f'<meta name="viewport" content="width=device-width"/><style>{STYLE}</style></head>\n<body><h1>hardline benchmarks</h1>'
                f"\n{body(found)}\n</body></html>\n")
