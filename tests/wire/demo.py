"""scripts/demo: the same through a wire that loses and reorders frames; what it says when things are off; how it ends."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import hl
from corpus import Corpus

DEMO = os.path.join(hl.TOP, "scripts", "demo")
ENV = {**os.environ, "HARDLINE_BUILD": hl.BUILD}
REFUSED = {"no_starttls": "starttls-not-supported", "starttls_rejected": "starttls-rejected",
           "injected_plaintext": "starttls-injection", "expired": "certificate-expired",
           "wrong_name": "certificate-host-mismatch", "unknown_ca": "certificate-not-trusted", "tls11": "tls-version",
           "self_signed": "certificate-self-signed", "reset_in_handshake": "connection-reset"}
USERS = ["alice@example.test", "bob@example.test", "carol@example.test"]


def demo(*args, timeout=200):
    return subprocess.run([DEMO, *args], capture_output=True, text=True, env=ENV, timeout=timeout)


def demo_with_json(path, *args):
    ended = demo("--json", path, *args)
    with open(path) as f:
        return ended, json.load(f)


def faulty_wire(lab):
    ended, found = demo_with_json(lab.path("faults.json"), "--messages", "100", "--faults", "drop=1%,reorder=1%")
    hl.ok(ended.returncode == 0 and found["ok"], "1 % loss and reordering: the demo is content", ended.stdout, ended.stderr)
    counts = {key: found.get(key) for key in ("submitted", "delivered", "identical", "deferred", "failed", "in_doubt", "lost",
                                              "tls_verified")}
    hl.equal(counts, {"submitted": 100, "delivered": 100, "identical": 100, "deferred": 0, "failed": 0, "in_doubt": 0,
                      "lost": 0, "tls_verified": 100}, "1 % loss and reordering: 100 of 100 identical")
    hl.equal(found["refused"], REFUSED, "1 % loss and reordering: nine refusals, each for its own reason")
    hl.ok(found["figures"]["tcp_retransmits"] > 20, "1 % loss and reordering: segments were sent again", found["figures"])


def wrong_usage(lab):
    hl.ok(demo("--help").returncode == 0 and "--messages" in demo("--help").stdout, "--help")
    for args in (["--messages", "many"], ["--messages", "0"], ["--messages"], ["--frobnicate"], ["--port", "pigeon"],
                 ["--json", lab.path("no", "where.json")]):
        ended = demo(*args)
        hl.ok(ended.returncode == 2 and args[0] in ended.stderr, f"wrong usage: {' '.join(args)[:40]}", ended.returncode,
              ended.stderr)


def failing(lab):
    ended, found = demo_with_json(lab.path("off.json"), "--messages", "5", "--faults", "drop=often")
    hl.ok(ended.returncode == 1 and not found["ok"] and "drop=often" in " ".join(found["troubles"]),
          "a demo that fails says why, in its JSON as well", ended.returncode, found, ended.stdout)


def stat_of(pid):
    """State and parent of a process; ("gone", 0) when there is none."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            state, parent = f.read().rsplit(")", 1)[1].split()[:2]
            return state, int(parent)
    except (FileNotFoundError, ProcessLookupError):
        return "gone", 0


def descendants(pid):
    """The processes that a process has started, directly or not."""
    children = {}
    for entry in map(int, filter(str.isdigit, os.listdir("/proc"))):
        children.setdefault(stat_of(entry)[1], []).append(entry)
    found = list(children.get(pid, []))
    for child in found:
        found += children.get(child, [])
    return found


def runs(pid):
    return stat_of(pid)[0] not in ("gone", "Z")


def heed_interrupts():
    """Whoever runs the tests in the background may have SIGINT ignored, which a shell cannot undo."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted(lab):
    path = lab.path("interrupted.json")
    process = subprocess.Popen([DEMO, "--json", path, "--messages", "20000"], env=ENV, stdout=subprocess.PIPE, text=True,
                               preexec_fn=heed_interrupts)
    for line in process.stdout:
        if "hardlined: " in line:
            break
    time.sleep(1)
    started = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    status = process.wait(60)
    with open(path) as f:
        found = json.load(f)
    hl.ok(status == 130 and not found["ok"] and "interrupted" in found["troubles"], "interrupted: says so", status, found)
    hl.ok(len(started) > 5, "interrupted: there was something to end", started)
    hl.wait_until(lambda: not any(map(runs, started)), 10, "all that it started has ended")
    hl.ok(True, "interrupted: no process is left of what it started")


def kept(lab):
    ended, found = demo_with_json(lab.path("kept.json"), "--messages", "5", "--keep")
    words = ended.stdout.split()
    hl.ok(ended.returncode == 0 and found["ok"] and "kill" in words, "--keep: ends and says how to stop what is left",
          ended.stdout, ended.stderr)
    pid = int(words[-1])
    socket_path = words[words.index("status") + 2]
    status = subprocess.run([os.path.join(hl.BUILD, "engine", "cli", "hardline"), "status", "--socket", socket_path, "--json"],
                            capture_output=True, text=True)
    hl.ok(status.returncode == 0 and json.loads(status.stdout)["state"] == "running", "--keep: the engine runs",
          status.stdout, status.stderr)
    os.kill(pid, signal.SIGTERM)
    hl.wait_until(lambda: not os.path.exists(os.path.dirname(socket_path)), 30, "the kept demo ends")
    hl.ok(True, "--keep: what was left is gone when it is told to")


# ---- the comparison itself

def arrived(corpus, lab, name, change=lambda number, text: text):
    """Mailboxes as Postfix would have them, but for what `change` does; None: lost."""
    paths = {user: [] for user in USERS}
    for message in corpus.messages:
        with open(message.path, "rb") as f:
            text = change(message.number, f.read().replace(b"\r\n", b"\n"))
        for user in message.recipients if text is not None else []:
            end = b"" if text.endswith(b"\n") else b"\n"
            paths[user].append(lab.write(f"{name}.{message.number}.{user}", b"Received: by a test\n" + text + end))
    return paths


def comparison(lab):
    corpus = Corpus(lab.path("corpus"), 40, USERS, seed=5, to_several=4)
    again = Corpus(lab.path("again"), 40, USERS, seed=5, to_several=4)
    hl.equal([m.digest for m in corpus.messages], [m.digest for m in again.messages], "a seed makes the same messages")
    hl.ok(not list(corpus.compare(arrived(corpus, lab, "good")).complaints()), "the comparison: what is whole passes")
    dots = next(m for m in corpus.messages if m.kind == "dots").number
    off = {
        "a byte is changed": lambda n, text: text if n else text[:-9] + b"!" + text[-8:],
        "a dot is missing": lambda n, text: text if n != dots else text.replace(b"\n.", b"\n", 1),
        "a dot is doubled": lambda n, text: text if n != dots else text.replace(b"\n.", b"\n..", 1),
        "a line end is added": lambda n, text: text if n else text + b"\n\n",
        "it is cut short": lambda n, text: text if n else text[:len(text) // 2],
    }
    for what, change in off.items():
        verdict = corpus.compare(arrived(corpus, lab, what, change))
        hl.ok(len(verdict.altered) == 1, f"the comparison: {what}", verdict.altered)
    verdict = corpus.compare(arrived(corpus, lab, "lost", lambda n, text: text if n else None))
    hl.ok(len(verdict.lost) == 1, "the comparison: one is lost", verdict.lost)
    paths = arrived(corpus, lab, "twice")
    paths[USERS[0]].append(shutil.copy(paths[USERS[0]][0], lab.path("twice")))
    paths[USERS[1]].append(lab.write("stranger", b"Subject: who am I\n\nhello\n"))
    paths[USERS[2]].append(next(p for p in paths[USERS[0]] if os.path.basename(p).split(".")[1] not in
                                {os.path.basename(q).split(".")[1] for q in paths[USERS[2]]}))
    verdict = corpus.compare(paths)
    hl.equal((len(verdict.duplicates), len(verdict.strangers)), (1, 2),
             "the comparison: one twice, one of nobody, one to the wrong user")


def main():
    lab = hl.Lab()
    for part in (comparison, wrong_usage, faulty_wire, failing, interrupted, kept):
        part(lab)
    hl.done()


main()
