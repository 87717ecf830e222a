"""scripts/bench from within: a smoke run whose figures and page are whole, and one whose receiver refuses mail now and then.

Whether it works, never how fast it is. accounting.py tests the two accountings, bench_figures.py what is made of the runs.
"""
import json
import os
import subprocess
import sys
import tempfile

SOURCE = os.environ.get("HARDLINE_SOURCE", ".")
sys.path[:0] = [os.path.join(SOURCE, "tests", "lib"), os.path.join(SOURCE, "scripts", "lib"),
                os.path.join(SOURCE, "scripts", "lib", "bench")]
import mail  # noqa: E402
from lab import BenchLab  # noqa: E402
from page import Page  # noqa: E402
from tap import done, equal, note, ok  # noqa: E402

ENGINE = ("per_cpu_s", "cpu_s", "wall_s", "busy_share", "per_poll_s", "phases", "latency_us")
CASE = ("case", "engine", "peer", "ratio", "limit", "of_limit", "failed", "unit", "notes")
HOST = ("cpu", "cores", "kernel", "openssl", "build", "hardline", "port", "dpdk", "accelerator", "hugepages")


def smoke(folder, *before, **env):
    """One run, behind the words of another command; (exit status, figures, page, what it said)."""
    figures = os.path.join(folder, "figures.json")
    ended = subprocess.run([*before, sys.executable, os.path.join(SOURCE, "scripts", "lib", "bench", "main.py"), "smoke", "--figures",
                            figures], env={**os.environ, **env}, capture_output=True, text=True, timeout=280)
    with open(figures) as f, open(os.path.join(folder, "page.html")) as p:
        return ended.returncode, json.load(f), p.read(), ended.stdout + ended.stderr


def check_poor(folder):
    """One CPU, no hugepages."""
    status, found, page, said = smoke(folder, "taskset", "-c", "0", HARDLINE_NO_HUGE="1", HARDLINE_PEERS="/nonexistent")
    equal(status, 0, "with one CPU and without hugepages a smoke run ends well")
    if status:
        note(said)
    notes = " ".join(found["host"]["notes"])
    ok(found["host"]["cores"] == 1 and "fewer CPUs than are needed, 1 of 2" in notes, "fewer CPUs are in the figures", notes)
    ok(found["host"]["hugepages"] == "no" and "no hugepages" in notes, "so are missing hugepages", notes)
    ok("fewer CPUs" in said and "no hugepages" in said, "both are said on the terminal", said)
    ok("fewer CPUs" in page and "no hugepages" in page, "and on the page")


def check_good(folder):
    status, found, page, said = smoke(folder)
    equal(status, 0, "a smoke run ends well")
    if status:
        note(said)
    for name in HOST:
        ok(found["host"].get(name) not in (None, ""), f"the host's {name} is told")
    with open(os.path.join(os.environ["HARDLINE_BUILD"], "meson-info", "intro-buildoptions.json")) as f:
        built = {option["name"]: option["value"] for option in json.load(f)}
    equal(found["host"]["build"], built["buildtype"] + ", link-time optimisation" * built["b_lto"], "the build is told as it is")
    case = found["cases"][0] if found["cases"] else {}
    equal([key for key in CASE if key not in case], [], "the case has every figure")
    equal([key for key in ENGINE if key not in (case.get("engine") or {})], [], "and its engine")
    equal(case.get("failed"), 0, "nothing failed")
    ok(case.get("agree") or case.get("ratio") is None, "a ratio only where the accountings agree")
    ok(case["limit"] and case["limit"]["per_cpu_s"] > 0 and case["limit"]["why"], "there is a limit with its reason")
    parsed = Page(page)
    equal(parsed.wrong, [], "the page is well-formed and needs nothing from elsewhere")
    ok({"svg", "polyline", "rect", "table"} <= parsed.seen, "it has plots and tables")


def check_many():
    """A thousand handshakes that the farm lets go together: it reads its port while it signs."""
    mail.MAIL["many"] = ("rsa", 1, mail.HANDSHAKE_BYTES, 1024)
    run = mail.run_engine(BenchLab(), "many", 1)
    equal(run["failed"], 0, "of a thousand connections at once none fails")
    equal(run["given_up"], 0, "and no frame is given up for a farm that does not read")
    ok(run["farm"]["bursts"] > 0, "though their answers leave together", run["farm"])


def check_peer_resumes():
    """Ours, against the peers' sink, where that is there."""
    lab = BenchLab()
    missing = lab.start_sink("rsa")
    if missing:
        note(missing)
        return
    run = lab.run_peer("peer_kernel", "rsa", 64, 300, 1, 1000, resume=True)
    equal((run["units"], run["failed"]), (300, 0), "the kernel's peer resumes: no connection fails")
    ok(run["resumed_share"] > 0.99, "and all but its first are resumed", run)


def check_bad(folder):
    status, found, page, said = smoke(folder, HARDLINE_PEERS="/nonexistent", HARDLINE_BENCH_FARM="--fail 451:5%")
    equal(status, 1, "a run in which messages failed ends with 1")
    case = found["cases"][0]
    ok(case["failed"] > 0 and not found["ok"] and found["troubles"], "and its figures say so", said)
    ok(case["peer"] is None and case["ratio"] is None, "without the peers' programs there is no ratio")
    ok(any("sink.c" in n for n in case["notes"]), "and what is missing is named", *case["notes"])
    equal(Page(page).wrong, [], "the page is well-formed then, too")
    red = "".join(line for line in page.splitlines() if 'class="bad"' in line)
    ok("messages: reply" in red and "As the farm was told" in red and "sink.c" not in red, "the red line gives the cause, not a note", red)
    ok("messages: reply" in said, "and so does the terminal", said)


def check_slow(folder):
    """A farm with 1.5 ms of work for each message, and a generator that takes all the room there is."""
    status, found, page, said = smoke(folder, HARDLINE_PEERS="/nonexistent", HARDLINE_BENCH_FARM="--work 1500",
                                      HARDLINE_BENCH_GENERATE="--in-flight 1000000")
    case = found["cases"][0]
    equal((status, case["failed"], case["causes"], found["troubles"]), (0, 0, [], []), "nobody lost a message: that is no failure")
    runs = (case["engine"] or {}).get("runs", [])
    ok(runs and all(not r["farm"]["kept_up"] and r["farm"]["busy_share"] > 0.95 for r in runs), "the farm's figures say that it was too slow",
       [r["farm"] for r in runs])
    ok(runs and all(r["ring_full"] > 0 and r["ring_full_s"] > 0.5 * r["wall_s"] for r in runs), "the generator's that its ring was full",
       [(r["ring_full"], r["ring_full_s"], r["wall_s"]) for r in runs])
    for what, words in (("farm", "the farm was the bottleneck"), ("ring", "the generator's ring was full")):
        ok(any(words in n for n in case["notes"]), f"the {what} is in the notes of the case", *case["notes"])
        ok(words in said and words in page.replace("&#x27;", "'"), f"the {what} is on the terminal and on the page", said)
    ok(runs and 0 < runs[0]["per_s"] < 1000, "what was measured is what the farm let through")


check_many()
check_peer_resumes()
with tempfile.TemporaryDirectory() as folder:
    check_poor(folder)
with tempfile.TemporaryDirectory() as folder:
    check_good(folder)
with tempfile.TemporaryDirectory() as folder:
    check_bad(folder)
with tempfile.TemporaryDirectory() as folder:
    check_slow(folder)
done()
