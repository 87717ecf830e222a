"""Each case of scripts/bench once, short and small: nothing fails, and what makes it that case is there. Never how fast it is."""
import json
import os
import subprocess
import sys

SOURCE = os.environ.get("HARDLINE_SOURCE", ".")
sys.path[:0] = [os.path.join(SOURCE, "tests", "lib"), os.path.join(SOURCE, "scripts", "lib"),
                os.path.join(SOURCE, "scripts", "lib", "bench")]
import conns  # noqa: E402
import mail  # noqa: E402
from lab import BenchLab  # noqa: E402
from tap import done, equal, ok  # noqa: E402

SECONDS = 0.5
ROUND_TRIPS_FRESH = 7  # TCP, EHLO behind the greeting, STARTTLS, TLS, EHLO, the message, QUIT
SHORT = ["fresh-rsa", "fresh-p256", "resume-rsa", "resume-p256", "handshake-rsa-64", "handshake-p256-512", "reuse", "bulk"]


def check_mail(lab, name):
    run = mail.run_engine(lab, name, SECONDS)
    key, per_connection, size, _ = mail.MAIL[name]
    whole = {figure: run[figure] for figure in ("failed", "trouble", "causes")}
    ok(run["units"] > 0 and whole == {"failed": 0, "trouble": None, "causes": []}, f"{name}: delivered, and nothing failed", run["units"], whole)
    ok(run["farm"]["good"] >= run["units"] and run["farm"]["damaged"] == 0 and run["farm"]["ok"], f"{name}: the farm has each message whole", run["farm"])
    ok(run["farm"]["bytes"] >= run["units"] * size, f"{name}: messages of {size:,} bytes", run["farm"]["bytes"])
    ok(sum(run["phases"].values()) > 0 and run["phases"]["tls"] > 0 and run["cost"]["charged_s"] > 0, f"{name}: cycles by phase, and what was charged", run["phases"])
    if per_connection == 1:
        ok(abs(run["round_trips"] - ROUND_TRIPS_FRESH) < 0.1, f"{name}: {ROUND_TRIPS_FRESH} round trips a message", run["round_trips"])
    else:
        ok(run["round_trips"] < 1 + 2 * ROUND_TRIPS_FRESH / per_connection, f"{name}: one round trip a message at the most, beside the connection's",
           run["round_trips"])
        ok(run["reused"] > 0.9 * run["units"], f"{name}: messages share connections", run["reused"])
    if mail.kind_of(name) == "resume":
        ok(run["resumed_share"] >= mail.RESUMED_MIN, f"{name}: resumed", run["resumed_share"])
    else:
        equal(run["resumed"], 0, f"{name}: none is resumed, {key}")


def check_conns(lab):
    """Some hundred connections instead of thousands."""
    plain = conns.run_plain(lab, 500, 1)
    equal((plain["open"], plain["failed"], plain["causes"]), (500, 0, []), "conns without TLS: all open, nothing failed")
    secured = conns.run(lab, 200, 1)
    equal((secured["failed"], secured["causes"]), (0, []), "conns with TLS: nothing failed")
    ok(secured["open"] >= 190, "conns with TLS: open", secured["open"])
    for point in (plain, secured):
        ok(point["us_per_message"] > 0 and point["bytes_per_connection"] > 0 and point["messages"] > 100, f"conns, {point['kind']}: cost and memory are told",
           {k: v for k, v in point.items() if k not in ("farm", "latency_us")})


def check_rates(lab):
    """Set-ups and small requests, both roles, beside Linux."""
    path = lab.lab.path("rates.json")
    ended = subprocess.run([sys.executable, os.path.join(SOURCE, "bench", "tcp_rates.py"), "--seconds", "0.5", "--repeat", "1", "--loss", "0", "--json", path],
                           capture_output=True, text=True, timeout=200)
    equal(ended.returncode, 0, "tcp: set-ups and small requests end well")
    with open(path) as f:
        cells = json.load(f)["cells"]
    equal([(c["role"], c["kind"], c["failed"]) for c in cells], [(role, kind, 0) for role in ("client", "server") for kind in ("set-up", "small")],
          "tcp: both roles, both kinds of work, none failed")
    ok(all(c[stack]["per_s"] > 0 and c[stack]["per_cpu_s"] > 0 for c in cells for stack in ("linux", "hardline")), "tcp: rates of both stacks", cells)
    ok(all(0 < c["hardline"]["kernel_share"] < 1 for c in cells), "tcp: the kernel's share of our end's CPU time stands apart", cells)


def main():
    lab = BenchLab()
    for name in SHORT:
        check_mail(lab, name)
    check_conns(lab)
    check_rates(lab)
    done()


main()
