"""Nothing is lost: the engine killed in mid-delivery, a producer, the receiver; a stop with mail in flight."""
import os
import signal
import stat
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from corpus import Corpus
import hl
from engine import Engine

MX = "mx1.example.test"
USERS = ["alice@example.test", "bob@example.test", "carol@example.org"]
TRY_AGAIN, IN_DOUBT = 75, 79  # exit status of hardline submit
VERDICTS = {"delivered", "deferred", "failed", "in doubt", "not sent"}


class Play:
    def __init__(self):
        self.lab = hl.Lab()
        self.net = hl.Net(self.lab)
        self.ca = hl.Ca(self.lab)
        self.mx = hl.Postfix(self.lab, self.net, 1, self.ca.issue(MX), users=USERS)
        routes = {domain: (MX, self.net.ip4(1)) for domain in ("example.test", "example.org")}
        self.engine = Engine(self.lab, self.net, self.ca, routes=routes,
                             settings={"limits": {"connections-per-destination": 5, "jobs-in-flight": 40}})
        self.corpora = 0

    def corpus(self, messages, seed):
        self.corpora += 1
        return Corpus(self.lab.path(f"corpus{self.corpora}"), messages, USERS, seed, to_several=messages // 10)

    def clear_mailboxes(self):
        for paths in self.mx.mail_paths().values():
            for path in paths:
                os.remove(path)

    def settle(self):
        """Waits until Postfix has delivered what it accepted. Messages that broke off stay in its queue, not executable."""
        queue = os.path.join(self.mx.folder, "queue")

        def accepted():
            for part in ("incoming", "active", "deferred"):
                for folder, _, files in os.walk(os.path.join(queue, part)):
                    for file in files:
                        try:
                            yield os.stat(os.path.join(folder, file)).st_mode & stat.S_IXUSR
                        except FileNotFoundError:
                            yield True  # it moves
        hl.wait_until(lambda: not any(accepted()), 60, "Postfix's queue is empty")


def jobs_of(corpus):
    return [{"to": m.recipients, "path": m.path} for m in corpus.messages]


def pairs_said(corpus, results):
    """{verdict: pairs (message, user)}"""
    said = {verdict: set() for verdict in VERDICTS}
    for r in results:
        said[r["verdict"]].add((r["job"], corpus.messages[r["job"]].recipients[r["recipient"]]))
    return said


def one_result_each(corpus, results, what):
    pairs = [(r["job"], r["recipient"]) for r in results]
    wanted = [(m.number, i) for m in corpus.messages for i in range(len(m.recipients))]
    hl.ok(sorted(pairs) == sorted(wanted), f"{what}: exactly one verdict for every recipient",
          f"{len(pairs)} results, {len(set(pairs))} different ones, {len(wanted)} wanted")


def half_way(submission, corpus):
    """Waits until a third of the corpus has its results."""
    hl.wait_until(lambda: len(submission.results()) > len(corpus.pairs()) // 3, 60, "a third of the results")


def engine_killed(play):
    corpus = play.corpus(300, seed=11)
    submission = play.engine.start_submit(jobs_of(corpus))
    half_way(submission, corpus)
    play.engine.kill()
    results = submission.wait(60)
    one_result_each(corpus, results, "engine killed")
    said = pairs_said(corpus, results)
    hl.note(*(f"{verdict}: {len(pairs)}" for verdict, pairs in said.items()))
    hl.ok(said["delivered"] and said["not sent"], "engine killed: some were delivered, some were not sent", said)
    hl.ok(not said["failed"] and submission.status == (IN_DOUBT if said["in doubt"] else TRY_AGAIN),
          "engine killed: the producer's exit status tells what to do",
          submission.status, submission.process.log())
    play.settle()
    verdict = corpus.compare(play.mx.mail_paths())
    hl.equal(sorted(said["delivered"] - verdict.identical), [], "engine killed: what was called delivered is there")
    hl.equal(sorted(said["not sent"] & verdict.identical), [], "engine killed: what was called not sent is not there")
    hl.ok(not verdict.altered and not verdict.strangers, "engine killed: no half message in a mailbox",
          list(verdict.complaints()))

    play.engine.start()
    missing = [(n, u) for n, u in sorted(corpus.pairs()) if (n, u) not in said["delivered"]]
    again = play.engine.submit([{"to": [u], "path": corpus.messages[n].path} for n, u in missing])
    hl.ok(all(r["verdict"] == "delivered" for r in again), "resubmitting to the restarted engine delivers the rest", again)
    play.settle()
    verdict = corpus.compare(play.mx.mail_paths())
    hl.equal(sorted(verdict.lost), [], "every message is there at least once")
    hl.equal(sorted(set(verdict.duplicates) - said["in doubt"]), [], "only what was in doubt came twice")
    play.clear_mailboxes()


def producer_killed(play):
    engine, doomed, other = play.engine, play.corpus(200, seed=12), play.corpus(100, seed=13)
    first, second = engine.start_submit(jobs_of(doomed)), engine.start_submit(jobs_of(other))
    hl.wait_until(lambda: len(engine.status()["feeds"]) == 2 and len(first.results()) > 20, 60, "two feeds at work")
    first.process.kill(signal.SIGKILL)
    results = second.wait(120)
    one_result_each(other, results, "a producer killed: the other feed")
    hl.ok(all(r["verdict"] == "delivered" for r in results), "a producer killed: the other feed's mail is delivered")
    hl.wait_until(lambda: not engine.status()["feeds"], 20, "the dead producer's feed is gone")
    hl.ok(engine.process.running(), "a producer killed: the engine goes on", engine.log())
    third = engine.submit(jobs_of(other)[:10])
    hl.ok(all(r["verdict"] == "delivered" for r in third), "a producer killed: the next feed works")
    play.settle()
    hl.ok(not other.compare(play.mx.mail_paths()).lost, "a producer killed: the other feed's messages are in the mailboxes")
    play.clear_mailboxes()


def receiver_stopped(play):
    engine, corpus = play.engine, play.corpus(300, seed=15)
    submission = engine.start_submit(jobs_of(corpus))
    half_way(submission, corpus)
    play.mx.stop()
    results = submission.wait(120)
    one_result_each(corpus, results, "receiver stopped")
    said = pairs_said(corpus, results)
    hl.note(*(f"{verdict}: {len(pairs)}" for verdict, pairs in said.items()))
    reasons = {r["reason"] for r in results if r["verdict"] == "deferred"}
    hl.ok(said["delivered"] and reasons and reasons <= {"connection-refused", "connection-reset", "connection-lost", "reply"},
          "receiver stopped: the rest is deferred for what happened", reasons)
    hl.ok(not said["failed"] and not said["not sent"], "receiver stopped: nothing failed for good")
    play.mx.start()
    missing = [(n, u) for n, u in sorted(corpus.pairs()) if (n, u) not in said["delivered"]]
    again = engine.submit([{"to": [u], "path": corpus.messages[n].path} for n, u in missing])
    hl.ok(all(r["verdict"] == "delivered" for r in again), "receiver stopped: once it is back the rest is delivered",
          [r for r in again if r["verdict"] != "delivered"][:3])
    play.settle()
    verdict = corpus.compare(play.mx.mail_paths())
    hl.ok(not verdict.lost and not verdict.altered, "receiver stopped: every message is there", list(verdict.complaints())[:9])
    # Postfix that is being ended may say 451 to the end of a message whose cleanup has queued it a moment before.
    kept = {(r["job"], corpus.messages[r["job"]].recipients[r["recipient"]]) for r in results
            if (r["verdict"], r["stage"], r["reason"]) == ("deferred", "dot", "reply")}
    hl.note(f"refused at the dot: {len(kept)}")
    if not hl.equal(sorted(set(verdict.duplicates) - said["in doubt"] - kept), [], "receiver stopped: only what was in doubt came twice"):
        first = {(r["job"], corpus.messages[r["job"]].recipients[r["recipient"]]): r for r in results}
        hl.note(*verdict.complaints(), *(f"{pair}: {first.get(pair)}" for pair in verdict.duplicates))
    if verdict.written_twice:
        hl.note(f"Postfix wrote what it had once into a mailbox twice: {verdict.written_twice}")
    play.clear_mailboxes()


def drained(play):
    engine, corpus = play.engine, play.corpus(300, seed=14)
    submission = engine.start_submit(jobs_of(corpus))
    half_way(submission, corpus)
    started = time.monotonic()
    engine.process.kill(signal.SIGTERM)
    results = submission.wait(60)
    status = engine.process.wait(30)
    hl.ok(status == 0, f"TERM: drains and ends in order ({time.monotonic() - started:.1f} s)", status, engine.log())
    one_result_each(corpus, results, "TERM")
    said = pairs_said(corpus, results)
    hl.note(*(f"{verdict}: {len(pairs)}" for verdict, pairs in said.items()))
    hl.ok(said["delivered"] and said["deferred"] | said["not sent"], "TERM: what was in flight is delivered, the rest is not")
    hl.ok(not said["in doubt"] and not said["failed"], "TERM: nothing is left in doubt", said["in doubt"])
    play.settle()
    verdict = corpus.compare(play.mx.mail_paths())
    hl.ok(verdict.identical == said["delivered"] and not verdict.altered, "TERM: the mailboxes hold what was called delivered",
          len(verdict.identical), len(said["delivered"]))


def main():
    play = Play()
    for part in (engine_killed, producer_killed, receiver_stopped, drained):
        part(play)
    hl.done()


main()
