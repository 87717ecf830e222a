"""What a producer can get wrong, and what it is told: jobs that are none, full memory, a wrong user, a wrong version."""
import os
import re
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import hl
from engine import Engine

MX = "mx1.example.test"
EXIT = {"delivered": 0, "bad": 65, "missing": 66, "failed": 69, "later": 75, "version": 76, "denied": 77}
MAGIC = 0x0001444545464C48  # engine/ring/layout.h: struct ring_message
HELLO, GOODBYE, BYE_VERSION = 1, 5, 1
MESSAGE = struct.Struct("<QHHHHQ488s")
GOOD = b"Subject: good\r\n\r\nfine\r\n"


class Play:
    def __init__(self):
        self.lab = hl.Lab()
        self.net = hl.Net(self.lab)
        self.ca = hl.Ca(self.lab)
        self.mxs = hl.Attackers(self.lab, self.net, {"mx": {"host": 1, "mode": "honest", "cert": self.ca.issue(MX)}})
        self.files = 0
        self.engine = self.make("engine", {"limits": {"message-bytes": 100000}})

    def make(self, name, settings, **options):
        return Engine(self.lab, self.net, self.ca, name=name, settings=settings, routes={"example.test": (MX, self.net.ip4(1))},
                      **options)

    def job(self, text=GOOD, to="alice@example.test", **more):
        self.files += 1
        return {"path": self.lab.write(f"m{self.files}.eml", text), "to": [to] if isinstance(to, str) else to, **more}


def refused(play, what, job, *patterns, status="bad", reason="bad-job"):
    """Submits it between two good jobs: it is refused with a clear word, they are delivered."""
    submission = play.engine.start_submit([play.job(), job, play.job()])
    results = submission.wait(60)
    by_job = {r["job"]: r for r in results}
    said = by_job.get(1, {}).get("text", "") + submission.process.log()
    hl.ok(submission.status == EXIT[status] and by_job[1]["verdict"] == "failed" and by_job[1]["reason"] == reason and
          all(re.search(p, said, re.I) for p in patterns), what, submission.status, by_job.get(1), submission.process.log())
    hl.ok(by_job[0]["verdict"] == by_job[2]["verdict"] == "delivered", f"{what}: the jobs around it are delivered", results)


def envelopes(play):
    refused(play, "no recipients", play.job(to=[]), "recipient")
    refused(play, "a NUL in an address", play.job(to="al\0ice@example.test"), "NUL")
    refused(play, "a CR in an address", play.job(to="alice@example.test\rRCPT"), "CR|carriage|control")
    refused(play, "a LF in an address", play.job(to="alice@example.test\nRCPT TO:<bob@example.test>"), "LF|line|control")
    refused(play, "a space in an address", play.job(to="al ice@example.test"), "space")
    refused(play, "angle brackets in an address", play.job(to="<alice@example.test>"), "angle|bracket")
    refused(play, "a local part of 65 bytes", play.job(to="a" * 65 + "@example.test"), "64")
    refused(play, "an address without a domain", play.job(to="alice"), "domain|@")
    refused(play, "a CR in the sender", play.job(**{"from": "me@sender.test\r"}), "CR|carriage|control")


def bodies(play):
    refused(play, "a bare LF in the body", play.job(b"Subject: a\r\n\r\none\ntwo\r\n"), "LF|bare")
    refused(play, "a bare CR in the body", play.job(b"Subject: a\r\n\r\none\rtwo\r\n"), "CR|bare")
    for name, end in (("LF dot CRLF", b"\n.\r\n"), ("LF dot LF", b"\n.\n"), ("CR dot CR", b"\r.\r"), ("CRLF dot LF", b"\r\n.\n")):
        refused(play, f"smuggling: {name}", play.job(b"Subject: a\r\n\r\nx" + end + b"MAIL FROM:<thief@example.test>\r\n"),
                "bare|LF|CR")
    refused(play, "a message that is too large", play.job(b"Subject: a\r\n\r\n" + b"x" * 70 * 72 * 20 + b"\r\n"), "100000",
            reason="too-large")
    refused(play, "a file that is not there", {**play.job(), "path": "/nowhere/m.eml"}, "/nowhere/m.eml", status="missing")
    before = len(play.mxs.messages("mx"))
    submission = play.engine.start_submit([play.job(b"Subject: a\n\none\ntwo\rthree\r\n", normalise=True)])
    hl.equal([r["verdict"] for r in submission.wait(30)], ["delivered"], "bare line ends are accepted with normalise")
    hl.equal(play.mxs.messages("mx")[before:][0]["body"], b"Subject: a\r\n\r\none\r\ntwo\r\nthree\r\n", "and become CRLF")


def full_memory(play):
    """More than the arena and the lane hold: the producer waits its turn and everything arrives."""
    small = play.make("small", {"feed": {"arena-megabytes": 1, "lane-slots": 16, "completion-slots": 16},
                                "limits": {"recipients": 8, "message-bytes": 500000}})
    text = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 4 * 300 + b"\r\n"
    large = [play.job(text * 15) for _ in range(40)]
    results = small.submit(large)
    hl.equal([r["verdict"] for r in results], ["delivered"] * 40, "a full arena is back-pressure: 11 MB through 1 MB")
    results = small.submit([play.job() for _ in range(300)])
    hl.equal([r["verdict"] for r in results], ["delivered"] * 300, "a full lane is back-pressure: 300 jobs through 16 slots")
    refused_ = small.start_submit([play.job(text * 60)])
    results = refused_.wait(30)
    hl.ok(results[0]["verdict"] == "failed" and refused_.status == EXIT["bad"],
          "what can never fit is refused at once", results, refused_.status)
    small.stop()


def nobody_there(play):
    stopped = play.make("stopped", {}, start=False)
    submission = stopped.start_submit([play.job()])
    submission.wait(20)
    hl.ok(submission.status == EXIT["later"] and stopped.feed_socket in submission.process.log(),
          "no engine: says where it looked", submission.status, submission.process.log())


def wrong_user(play):
    engine = play.make("users", {"feed": {"mode": "0666", "users": [{"user": "mail", "name": "mta"}]}})

    def submit_as(user):
        os.chmod(play.lab.folder, 0o755)
        prefix = ["setpriv", f"--reuid={user}", "--regid=nogroup", "--clear-groups"]
        submission = engine.start_submit([play.job()], prefix=prefix)
        return submission.wait(30), submission
    results, submission = submit_as("mail")
    hl.ok(submission.status == 0 and results[0]["verdict"] == "delivered", "a user that may", submission.process.log())
    results, submission = submit_as("games")
    hl.ok(submission.status == EXIT["denied"] and not results, "a user that may not", submission.status,
          submission.process.log())
    hl.ok("feed.users" in engine.log(), "the engine's log says what to do", engine.log())
    engine.stop()


def hello(major, text=b"a test"):
    return MESSAGE.pack(MAGIC, major, 0, HELLO, 0, 0, text)


def wrong_version(play):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(10)
        s.connect(play.engine.feed_socket)
        s.send(hello(99))
        magic, major, _, what, why, _, text = MESSAGE.unpack(s.recv(1024))
    hl.ok(magic == MAGIC and what == GOODBYE and why == BYE_VERSION and b"99" in text and str(major).encode() in text,
          "a producer of another ABI is told both versions", what, why, text)
    hl.ok(play.engine.submit([play.job()])[0]["verdict"] == "delivered", "and the engine goes on")

    path = play.lab.path("other-version.sock")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen()
    listener.settimeout(20)

    def answer():
        peer, _ = listener.accept()
        peer.recv(1024)
        peer.send(MESSAGE.pack(MAGIC, 99, 0, GOODBYE, BYE_VERSION, 0, b"this engine speaks feed ABI 99"))
        peer.close()
    threading.Thread(target=answer, daemon=True).start()
    other = play.make("other", {}, start=False)
    other.feed_socket = path
    submission = other.start_submit([play.job()])
    submission.wait(20)
    hl.ok(submission.status == EXIT["version"] and "99" in submission.process.log(),
          "an engine of another ABI is refused", submission.status, submission.process.log())


def garbage(play):
    for what, data in (("no hello", b"GET / HTTP/1.0\r\n\r\n"), ("an empty one", b"\0"), ("a long one", b"x" * 60000)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(10)
            s.connect(play.engine.feed_socket)
            s.send(data)
            try:
                answer = s.recv(1024)
            except ConnectionResetError:
                answer = b""
            hl.ok(answer == b"" or MESSAGE.unpack(answer)[3] == GOODBYE, f"garbage instead of a hand-over, {what}: shown out",
                  answer)
    hl.ok(play.engine.submit([play.job()])[0]["verdict"] == "delivered", "garbage: the engine goes on")


def main():
    play = Play()
    for part in (envelopes, bodies, wrong_version, garbage, nobody_there):
        part(play)
    hl.equal(play.engine.stop(), 0, "the engine ends in order")
    for part in (full_memory, wrong_user):
        part(play)
    hl.done()


main()
