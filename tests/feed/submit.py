"""`hardline submit`: where messages and envelopes come from, what is said, exit statuses, interruptions, dead engines."""
import json
import os
import pty
import re
import signal
import subprocess
import time

from ringlab import RingLab, hl, program

GOOD = b"From: Alice <alice@example.com>\r\nTo: bob@one.example\r\nSubject: x\r\n\r\nhello\r\n"
FROM = ["--from", "alice@example.com"]
TO = ["--to", "bob@one.example"]


def digest(data):
    h = 0xcbf29ce484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001b3 % 2 ** 64
    return f"{h:016x}"


class Lab(RingLab):
    def submit(self, *args, stdin=b"", socket=None, timeout=60):
        """Returns (status, stdout, stderr)."""
        result = subprocess.run([program("hardline"), "submit", "--socket", socket or self.socket, *args], input=stdin,
                                capture_output=True, timeout=timeout, cwd=self.lab.folder)
        return result.returncode, result.stdout.decode(), result.stderr.decode()

    def begin(self, *args, name="submit"):
        """Starts it with its output in a file."""
        with open(self.lab.path(name + ".out"), "wb") as out:
            process = self.lab.start([program("hardline"), "submit", "--socket", self.socket, *args], name=name,
                                     stdout=out, cwd=self.lab.folder)
        process.out = self.lab.path(name + ".out")
        return process

    def has(self, address, data):
        return self.delivered().get((address, digest(data)), 0)


def results(out):
    return [line for line in map(json.loads, out.splitlines()) if "verdict" in line]


def case(name, got, status, pattern=""):
    code, out, err = got
    return hl.ok(code == status and re.search(pattern, err + out, re.S), name, f"wanted {status}, /{pattern}/",
                 f"got {code}", err, out)


# ---- where messages come from

def sources(lab):
    lab.lab.write("m.eml", GOOD)
    case("a file", lab.submit(*FROM, *TO, "m.eml"), 0, "1 messages, 1 recipients: 1 delivered in")
    hl.equal(lab.has("bob@one.example", GOOD), 1, "byte for byte")
    case("standard input", lab.submit(*FROM, "--to", "in@one.example", stdin=GOOD), 0)
    case("standard input by name", lab.submit(*FROM, "--to", "in@one.example", "-", stdin=GOOD), 0)
    hl.equal(lab.has("in@one.example", GOOD), 2, "byte for byte")
    os.mkdir(lab.lab.path("folder"))
    for i in range(300):
        lab.lab.write(f"folder/{i:04}.eml", GOOD + b"%d\r\n" % i)
    lab.lab.write("folder/.hidden", b"not a message")
    os.mkdir(lab.lab.path("folder/below"))
    case("a directory", lab.submit(*FROM, "--to", "dir@one.example", "folder"), 0, "300 messages, 300 recipients: 300 delivered")
    hl.ok(all(lab.has("dir@one.example", GOOD + b"%d\r\n" % i) == 1 for i in range(300)), "each file once")
    os.mkdir(lab.lab.path("nothing"))
    case("an empty directory", lab.submit(*FROM, *TO, "nothing"), 66, "nothing has no files in it")
    case("a file that is not there", lab.submit(*FROM, *TO, "m.eml", "gone.eml"), 66, "gone.eml: No such file")
    case("a large message", lab.submit(*FROM, "--to", "large@one.example", stdin=GOOD + b"x" * 70 + b"\r\n" * 2000000), 0)


def envelopes(lab):
    case("several recipients", lab.submit(*FROM, "--to", "a@one.example", "--to", "b@two.example", "--to", "c@one.example",
                                          "m.eml"), 0, "3 recipients: 3 delivered")
    message = (b"From: \"Alice, A.\" (her name) <alice@example.com>\r\nSender: boss@example.com\r\n"
               b"To: Bob <bob@t.example>, \"x, <not@this.example>\" <carol@t.example> (and <nobody@c.example>),\r\n"
               b"\tdave@t.example\r\nCc: friends: erin@t.example, Fred <fred@t.example>;\r\nBcc: secret@t.example,\r\n"
               b" more@t.example\r\nSubject: Bcc: is not a field here\r\nBCC: last@t.example\r\n\r\nBcc: body@t.example\r\n")
    want = re.sub(rb"Bcc: secret.*?\r\n more.*?\r\n|BCC: last.*?\r\n", b"", message)
    code, out, err = lab.submit("-t", "--json", stdin=message)
    got = results(out)
    hl.equal((code, sorted(r["to"].split("@")[0] for r in got), {r["from"] for r in got}),
             (0, ["bob", "carol", "dave", "erin", "fred", "last", "more", "secret"], {"boss@example.com"}),
             "-t: recipients and sender from the header")
    hl.equal([lab.has(f"{who}@t.example", want) for who in ("bob", "secret", "last")], [1, 1, 1],
             "-t: Bcc is removed, everything else stays")
    code, out, err = lab.submit("-t", "--json", "--from", "", stdin=b"To: z@t.example\n\nx\n", )
    case("-t: a header alone is no reason to accept bare LF", (code, out, err), 65)
    case("-t: LF headers with --normalise", lab.submit("-t", "--normalise", stdin=b"From: a@b.example\nTo: z@t.example\n\nx\n"), 0)
    case("-t: no recipient", lab.submit("-t", stdin=b"From: a@b.example\r\n\r\n"), 65, "names no recipient in To, Cc or Bcc")
    case("-t: no sender", lab.submit("-t", stdin=b"To: a@b.example\r\n\r\n"), 65, "neither Sender nor From")
    case("the null sender", lab.submit("--from", "", *TO, "m.eml"), 0)
    case("an address that is not ASCII", lab.submit(*FROM, "--to", "jürgen@bücher.example", "m.eml"), 0)
    case("a next hop", lab.submit(*FROM, *TO, "--next-hop", "[192.0.2.1]:2525", "m.eml"), 0)


def job_lists(lab):
    jobs = [{"path": "m.eml", "from": "a@x.example", "to": ["j1@one.example", "fail@one.example"], "tag": "first",
             "tls-floor": "secure", "deadline-s": 60, "requiretls": True},
            {"path": "m.eml", "to": "j2@one.example", "next-hop": "mx.example:25"},
            {"path": "m.eml", "to": [{"address": "j3@one.example", "dsn": "NOTIFY=NEVER"}], "from": ""}]
    lab.lab.write("jobs", "\n".join(map(json.dumps, jobs)) + "\n\n")
    code, out, err = lab.submit(*FROM, "--json", "--jobs", "jobs")
    got = sorted(results(out), key=lambda r: (r["job"], r["recipient"]))
    hl.equal((code, [(r["job"], r["recipient"], r["to"], r["from"], r["verdict"]) for r in got]),
             (69, [(0, 0, "j1@one.example", "a@x.example", "delivered"), (0, 1, "fail@one.example", "a@x.example", "failed"),
                   (1, 0, "j2@one.example", "alice@example.com", "delivered"), (2, 0, "j3@one.example", "", "delivered")]),
             "a list of jobs")
    hl.equal(got[0].get("tag"), "first", "with tags")
    result = got[0]
    hl.ok(result["tls"]["version"] == "TLSv1.3" and result["tls"]["pkix"] is True and len(result["tls"]["spki_sha256"]) == 64 and
          result["mx"] == {"host": "mx.example.org", "address": "192.0.2.25", "port": 25} and result["code"] == 250 and
          result["times_us"]["replied"] >= result["times_us"]["connected"] > 0, "a result has all evidence", result)
    hl.equal((got[1]["code"], got[1]["enhanced"], got[1]["stage"], got[1]["fault"], got[1]["text"]),
             (550, "5.1.1", "rcpt", "remote", "no such user"), "and a failed one its reply")
    code, out, err = lab.submit("--json", "--jobs", "-", stdin=json.dumps(jobs[0]).encode() + b"\n")
    hl.equal(len(results(out)), 2, "a list from standard input")
    for line, why in {
        b"{": "line 2: not JSON at byte",
        b"[]": "line 2: a job is a JSON object",
        b'{"path": "m.eml", "to": ["a@b.example"]}': "line 2: the job has no \"from\"",
        b'{"path": "m.eml", "from": "a@b.example"}': "line 2: the job has no recipients",
        b'{"from": "a@b.example", "to": ["a@b.example"]}': "line 2: the job has no \"path\"",
        b'{"path": "m.eml", "frm": ""}': "line 2: the key \"frm\" is unknown",
        b'{"path": 5}': "line 2: \"path\" must be a text",
        b'{"to": [5]}': "line 2: \"to\" must be",
        b'{"to": "a\\u0000@b.example"}': "line 2: \"to\" has an address with a NUL",
        b'{"tls-floor": "none"}': "line 2: \"tls-floor\" must be encrypt, verify or secure",
        b'{"deadline-s": -1}': "line 2: \"deadline-s\" must be seconds",
        b'{"requiretls": 1}': "line 2: \"requiretls\" must be true or false",
        b'{"priority": 256}': "line 2: \"priority\" must be a number from 0 to 255",
    }.items():
        case(f"a bad job: {line.decode()}", lab.submit("--jobs", "-", stdin=json.dumps(jobs[2]).encode() + b"\n" + line), 65, why)


# ---- what is refused

def refusals(lab):
    lab.lab.write("lf.eml", GOOD.replace(b"\r\n", b"\n"))
    case("bare LF", lab.submit(*FROM, *TO, "lf.eml"), 65, r"lf.eml: the body has a bare LF in line 1 \(byte 31\).*--normalise")
    case("bare LF with --normalise", lab.submit(*FROM, "--to", "n@one.example", "--normalise", "lf.eml"), 0)
    hl.equal(lab.has("n@one.example", GOOD), 1, "it is CRLF then")
    case("smuggled end of data", lab.submit(*FROM, *TO, stdin=GOOD + b"\n.\r\nMAIL FROM:<evil@x>\r\n"), 65, "bare LF in line 6")
    case("bare CR", lab.submit(*FROM, *TO, stdin=GOOD + b"x\ry\r\n"), 65, "bare CR in line 6")
    case("an empty message", lab.submit(*FROM, *TO, stdin=b""), 65, "the body is empty")
    case("a message over the limit", lab.submit(*FROM, *TO, stdin=b"x" * (8 << 20) + b"\r\n"), 65,
         "is longer than the 8388608 bytes that the engine takes")
    lab.lab.write("big.eml", b"x" * (8 << 20) + b"\r\n")
    case("a file over the limit", lab.submit(*FROM, *TO, "big.eml"), 65, "big.eml is longer than the 8388608 bytes")
    case("a directory as a message", lab.submit("--jobs", "-", stdin=json.dumps(
        {"path": "/tmp", "from": "a@b.example", "to": "a@b.example"}).encode()), 66, "Is a directory")
    for address, why in {"bob": "has no @", "b ob@one.example": "a space", "<bob@one.example>": "angle bracket",
                         "b\rob@one.example": "a CR or LF", "bob@one..example": "a domain that is none",
                         "a" * 65 + "@one.example": "more than 64 bytes"}.items():
        case(f"the recipient {address!r}", lab.submit(*FROM, "--to", address, "m.eml"), 65, why)
    case("the sender without domain", lab.submit("--from", "alice", *TO, "m.eml"), 65, "the sender's address has no @")
    case("an exception that is not allowed", lab.submit(*FROM, *TO, "--exception", "m.eml"), 69, "may not")
    for args, why in {(): "no recipients", ("--to", "a@b.example"): "no sender", ("--nonsense",): "nonsense",
                      (*FROM, *TO, "-t"): "not from both", (*FROM, *TO, "--tls-floor", "may"): "encrypt, verify or secure",
                      (*FROM, *TO, "--priority", "x"): "a number from 0 to 255", (*FROM, *TO, "--jobs", "x"): "--jobs names",
                      (*FROM, *TO, "--deadline", "soon"): "--deadline takes seconds"}.items():
        case(f"wrong usage: {' '.join(args)}", lab.submit(*args), 64, why)
    code, out, err = lab.submit("--help")
    hl.ok(code == 0 and "usage: hardline submit" in out and not err, "--help")


def statuses(lab):
    for local, status in {"x": 0, "defer": 75, "fail": 69, "doubt": 79}.items():
        case(f"exit status of {local}", lab.submit(*FROM, "--to", f"{local}@one.example", "m.eml"), status)
    case("the worst of several counts", lab.submit(*FROM, *(f"--to={w}@one.example" for w in ("defer", "doubt", "fail", "x")), "m.eml"), 79)
    case("a reason for a person", lab.submit(*FROM, "--to", "defer@one.example", "m.eml"), 75,
         "m.eml: defer@one.example: deferred at stage starttls, fault: remote, reason: starttls-not-supported: "
         "the receiver does not offer STARTTLS")
    case("no engine", lab.submit(*FROM, *TO, "m.eml", socket="/nonexistent/x"), 75, "no engine at /nonexistent/x")
    case("--quiet", lab.submit("-q", *FROM, *TO, "m.eml"), 0, "^$")
    case("--verbose", lab.submit("-v", *FROM, *TO, "m.eml"), 0, "delivered to mx.example.org: 2.0.0 queued as 4711")


# ---- the run

def many(lab, count):
    lab.lab.write("many", "".join(json.dumps({"path": "m.eml", "from": "a@b.example", "to": f"u{i}@d{i % 9}.example"}) + "\n"
                                  for i in range(count)))
    return ["--jobs", "many"]


def progress(lab):
    master, slave = pty.openpty()
    process = subprocess.Popen([program("hardline"), "submit", "--socket", lab.socket, *many(lab, 3000)], stdout=slave,
                               stderr=slave, stdin=subprocess.DEVNULL, cwd=lab.lab.folder)
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    process.wait(30)
    os.close(master)
    text = shown.decode()
    hl.ok(re.search(r"\[#+\.*\] \d+ of 3000 +\d+%  \d+/s", text) and re.search(r"\d+ s left", text) and "100%" in text,
          "on a terminal: bar, rate and remaining time", text[:300])
    hl.ok("3000 messages, 3000 recipients: 3000 delivered" in text, "and a summary")


def interrupted(lab):
    lab.start_engine("--delay-us", "60000", "--slots", "128", "--completions", "128")
    before = sum(lab.delivered().values())
    process = lab.begin("--json", *many(lab, 20000), name="interrupted")
    hl.wait_until(lambda: sum(lab.delivered().values()) > before + 50, 10, "it is in full swing")
    process.kill(signal.SIGINT)
    status = process.wait(20)
    with open(process.out) as f:
        out = f.read()
    got, summary = results(out), json.loads(out.splitlines()[-1])["summary"]
    hl.ok(status == 75 and "waiting up to 30 s" in process.log(), "^C stops submitting", status, process.log())
    reached = sum(lab.delivered().values()) - before
    hl.ok(summary["delivered"] > 30 and summary["unsubmitted"] > 15000 and summary["in_doubt"] == 0 and
          summary["delivered"] == reached and len(got) == summary["delivered"] + summary["not_sent"], "what is in flight is waited for", summary, reached)

    lab.stop_engine()
    lab.start_engine("--delay-us", "1000")
    process = lab.begin("--json", *FROM, "--to", "never@one.example", "--to", "x@two.example", "--drain", "0.5", "m.eml", name="bounded")
    hl.wait_until(lambda: lab.has("x@two.example", GOOD), 10, "one is delivered")
    time.sleep(0.3)
    process.kill(signal.SIGTERM)
    status = process.wait(10)
    with open(process.out) as f:
        got = {r["to"]: r["verdict"] for r in results(f.read())}
    hl.equal((status, got), (79, {"never@one.example": "in doubt", "x@two.example": "delivered"}), "the wait is bounded, what remains is in doubt")
    lab.engine.kill()  # it holds a job for ever
    lab.engine.wait(10)


def engine_dies(lab):
    lab.start_engine("--delay-us", "30000", "--slots", "64", "--completions", "64")
    before = sum(lab.delivered().values())
    process = lab.begin("--json", *many(lab, 2000), name="forsaken")
    hl.wait_until(lambda: sum(lab.delivered().values()) > before + 100, 20, "it is in full swing")
    lab.kill_engine()
    status = process.wait(20)
    with open(process.out) as f:
        out = f.read()
    got, summary = results(out), json.loads(out.splitlines()[-1])["summary"]
    hl.ok(status == 79 and summary["in_doubt"] > 0 and summary["not_sent"] > 0 and
          summary["messages"] + summary["unsubmitted"] == 2000, "an engine that dies: every submitted recipient has a verdict",
          status, summary, process.log())
    hl.equal(len({(r["job"], r["recipient"]) for r in got}), len(got), "one each")

    lab.start_engine("--delay-us", "30000", "--slots", "64", "--completions", "64")
    process = lab.begin("--json", "--retry", "20", *many(lab, 2000), name="stubborn")
    for _ in range(3):
        at = sum(lab.delivered().values())
        hl.wait_until(lambda: sum(lab.delivered().values()) > at + 100, 20, "it is in full swing")
        time.sleep(0.3)
        lab.kill_engine()
        time.sleep(0.2)
        lab.start_engine()
    status = process.wait(60)
    with open(process.out) as f:
        out = f.read()
    got, summary = results(out), json.loads(out.splitlines()[-1])["summary"]
    hl.ok(len(got) == 2000 and summary["not_sent"] == 0 and summary["delivered"] + summary["in_doubt"] == 2000 and
          status in (0, 79), "--retry: what was not sent goes to the next engine", status, summary, process.log()[-500:])
    hl.ok(process.log().count("attached to the new engine") == 3, "three times", process.log())
    case("--retry has an end", lab.dead_end(), 75, "is gone|no engine at")


def dead_end(lab):
    process = lab.begin("--json", "--retry", "1", *FROM, "--to", "never@one.example", "m.eml", name="dead-end")
    hl.wait_until(lambda: lab.engine.log().count("attached") > 1, 10, "it is attached")
    time.sleep(0.3)
    lab.kill_engine()
    status = process.wait(15)
    with open(process.out) as f:
        return status, f.read(), process.log()


Lab.dead_end = dead_end


def main():
    lab = Lab("--delay-us", "300")
    lab.start_engine()
    sources(lab)
    envelopes(lab)
    job_lists(lab)
    refusals(lab)
    statuses(lab)
    hl.equal(lab.stop_engine(), 0, "the engine drains")
    lab.start_engine("--delay-us", "20000", "--slots", "64", "--completions", "64")
    progress(lab)
    lab.stop_engine()
    interrupted(lab)
    engine_dies(lab)
    hl.done()


main()
