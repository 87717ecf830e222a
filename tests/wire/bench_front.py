"""scripts/bench from without: wrong usage, an end that is no good one, an interrupt. bench.py has runs that end well."""
import collections
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import hl
from page import Page

BENCH = os.path.join(hl.TOP, "scripts", "bench")
ENV = {**os.environ, "HARDLINE_BUILD": hl.BUILD, "HARDLINE_PEERS": "/nonexistent"}
BEFORE = '{"old": true}\n'


def bench(*args, **env):
    return subprocess.run([BENCH, *args], capture_output=True, text=True, env={**ENV, **env}, timeout=120)


def wrong_usage(lab):
    ended = bench("--help")
    hl.ok(ended.returncode == 0 and all(word in ended.stdout for word in
                                        ("fresh", "resume", "reuse", "bulk", "handshake", "conns", "ring", "tcp", "all", "--seconds", "--json", "--html")),
          "--help names every case and option", ended.stdout)
    cases = {"NAME is missing: fresh, resume": [], 'there is no case "quick": fresh, resume': ["quick"], 'no case "handshake-rsa-9"': ["handshake-rsa-9"],
             "one NAME at a time": ["reuse", "bulk"], "--seconds takes a number from 1 to 600": ["reuse", "--seconds", "0"],
             "--seconds takes a number": ["reuse", "--seconds=x"], "--json takes a file": ["reuse", "--json"], "no option --frobnicate": ["reuse", "--frobnicate"],
             "no/where.json cannot be written: name a file": ["reuse", "--json", lab.path("no", "where.json")], "--html: /tmp cannot be written": ["reuse", "--html", "/tmp"]}
    for text, args in cases.items():
        ended = bench(*args)
        hl.ok(ended.returncode == 2 and text in ended.stderr, f"refused: {text}", ended.returncode, ended.stderr)


def files_there(lab):
    paths = lab.write("bench.json", BEFORE), lab.path("bench.html")
    return paths, ["--json", paths[0], "--html", paths[1]]


def read(paths):
    with open(paths[0]) as f, open(paths[1]) as g:
        return json.load(f), g.read()


def left_beside(paths):
    return [name for name in os.listdir(os.path.dirname(paths[0])) if name.startswith("bench.") and name not in ("bench.json", "bench.html")]


def failing(lab):
    """A farm that does not start: no figure, and why."""
    paths, args = files_there(lab)
    ended = bench("smoke", *args, HARDLINE_BENCH_FARM="--frobnicate")
    found, page = read(paths)
    hl.ok(ended.returncode == 1 and not found["ok"] and "--frobnicate" in " ".join(found["troubles"]), "a farm that does not start: 1, with the reason",
          ended.returncode, found)
    hl.ok(found["host"]["cores"] > 0 and found["cases"] == [], "the host is known, and no figure is there that nobody measured", found)
    hl.ok("--frobnicate" in ended.stdout and "--frobnicate" in page and Page(page).wrong == [], "terminal and page say so as well", ended.stdout)
    hl.equal(left_beside(paths), [], "nothing else is left beside the files")
    ended = bench("smoke", *args, HARDLINE_BUILD="/nonexistent")
    text = "HARDLINE_BUILD: /nonexistent has no engine/hardlined: run ninja there"
    hl.ok(ended.returncode == 1 and text in ended.stdout and text in read(paths)[0]["troubles"][0], "a build that is not there: 1, with the remedy",
          ended.stdout)


def parents():
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as f:
                state, parent = f.read().rsplit(")", 1)[1].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            found[int(entry)] = int(parent)
    return found


def descendants(pid):
    """All that it has started, directly or not, and that still runs."""
    known, found = parents(), {pid}
    while more := {child for child, parent in known.items() if parent in found} - found:
        found |= more
    return found - {pid}


def names(pids):
    found = []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/comm") as f:
                found.append(f.read().strip())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def heed_interrupts():
    """Whoever runs the tests in the background may have SIGINT ignored, which a shell cannot undo."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted(lab, case, working, number, send):
    """In the middle of a case, when those that are its work run."""
    paths, args = files_there(lab)
    scratch = lab.path(number.name)
    os.mkdir(scratch)
    process = subprocess.Popen([BENCH, case, "--seconds", "60", *args], env={**ENV, "TMPDIR": scratch}, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, preexec_fn=heed_interrupts, start_new_session=True)
    hl.wait_until(lambda: not working - collections.Counter(names(descendants(process.pid))), 60, f"{case}: {working} run")
    time.sleep(2)
    with open(paths[0]) as f:
        hl.equal(f.read(), BEFORE, f"{number.name}: until the end the file is what it was")
    started, made = descendants(process.pid), os.listdir(scratch)
    send(process.pid, number)
    said, _ = process.communicate(timeout=60)
    found, page = read(paths)
    hl.ok(process.returncode == 130 and not found["ok"] and "interrupted" in found["troubles"], f"{number.name}: 130, and the JSON says so",
          process.returncode, found, said)
    hl.ok("interrupted" in said and "interrupted" in page, f"{number.name}: so do terminal and page", said)
    hl.wait_until(lambda: not started & set(parents()), 10, "all that it started has ended")
    hl.ok(len(started) >= 4, f"{number.name}: nothing is left running of what it started", started)
    hl.ok(len(made) >= 2 and not os.listdir(scratch), f"{number.name}: its scratch folders are gone", made, os.listdir(scratch))
    hl.equal(left_beside(paths), [], f"{number.name}: nothing else is left beside the files")


def main():
    lab = hl.Lab()
    wrong_usage(lab)
    failing(lab)
    interrupted(lab, "reuse", collections.Counter({"hardlined": 1, "hardline-bench": 2}), signal.SIGINT, os.killpg)  # as ^C does
    interrupted(lab, "reuse", collections.Counter({"hardlined": 1, "hardline-bench": 2}), signal.SIGTERM, os.kill)
    interrupted(lab, "tcp", collections.Counter({"bridge": 1, "tcp_linux": 2}), signal.SIGHUP, os.kill)
    hl.done()


main()
