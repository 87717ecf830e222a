#!/usr/bin/env python3
"""Receivers on OpenSSL that renew their keys in the middle of what they say, and ask the engine to renew its own (RFC 8446
section 4.6.3): nothing is lost on either way, and who does nothing else is left."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import hl
from engine import Engine

MX = "mx1.example.test"
ALLOWED = 32  # in a row, crypto/open.h
MESSAGES = 3

# Replies under TLS are EHLO's, then MAIL's, RCPT's and the end of data's for each message; what a plan is tests/lib/libssl.py says.
CASES = {
    "before_ehlo": {"plan": ["a.", "."]},
    "within_ehlo": {"plan": [".a.t.", "."]},
    "between_replies": {"plan": [".", "t.", "a.", "t.", "a.", "."]},
    "behind_the_last": {"plan": [".", ".", ".", ".ta", "."]},
    "in_a_row": {"plan": ["atatat.", ".", "aaa.", "tttt.", "ta.aat", "."]},
    "as_many_as_may_be": {"plan": [".", "a" * ALLOWED + ".", "t" * ALLOWED + ".", "."]},
    "in_pieces": {"plan": ["ta.", "a.t.", ".a", "."], "piece": 3},
    "asks_for_nothing": {"plan": ["t.", "t.t", "."]},
    "one_too_many": {"plan": ["." + "t" * (ALLOWED + 1) + "."]},
    "flood": {"plan": ["." + "a" * 5000 + "."]},
}
TOO_MANY = ("one_too_many", "flood")


def body(number):
    """The second is large: what is asked for while it is on its way is answered in the middle of it."""
    return b"Subject: %d\r\n\r\n" % number + b".a line of message %d\r\n" % number * (10_000 if number == 1 else 10)


def updates(mxs, case, ours):
    """Of the receiver's KeyUpdates, or of those that came to it: whether each asks."""
    return [event["asks"] for event in mxs.events(case, "key update") if event["ours"] == ours]


def goes_on(mxs, case, results):
    taken = [message["body"] for message in mxs.messages(case)]
    hl.ok(all(r["verdict"] == "delivered" and r["tls"]["version"] == "TLSv1.3" for r in results), f"{case}: delivered",
          *results, mxs.story(case)[-3000:])
    hl.ok(sorted(taken) == sorted(body(i) for i in range(MESSAGES)), f"{case}: each message once, and whole", len(taken))
    asked, answers = updates(mxs, case, True).count(True), updates(mxs, case, False)
    hl.ok(len(updates(mxs, case, True)) > 0, f"{case}: the receiver has renewed its keys")
    hl.equal(answers, [False] * asked, f"{case}: the engine renews its own as often as it is asked to, and asks for nothing")
    hl.equal(mxs.events(case, "tls fault"), [], f"{case}: the receiver has nothing to complain of")


def is_left(mxs, case, results):
    hl.ok(all(r["verdict"] == "deferred" and r["reason"] == "tls-handshake" for r in results) and
          any("key updates" in r["text"] for r in results), f"{case}: the messages are deferred, and why is told", *results)
    hl.equal(mxs.messages(case), [], f"{case}: none was taken")
    hl.ok(len(updates(mxs, case, False)) <= ALLOWED * mxs.connections(case), f"{case}: so many are answered, and no more")
    hl.ok(any("unexpected message" in event["text"] for event in mxs.events(case, "tls fault")),
          f"{case}: the receiver gets an alert", mxs.story(case)[-3000:])


def main():
    lab = hl.Lab()
    net = hl.Net(lab)
    ca = hl.Ca(lab)
    cert = ca.issue(MX)
    cases = {name: {"host": 10 + i, "mode": "honest", "cert": cert, **case} for i, (name, case) in enumerate(CASES.items())}
    mxs = hl.Attackers(lab, net, cases, MX)
    engine = Engine(lab, net, ca, routes={f"{i}.test": (MX, mxs.address(name)) for i, name in enumerate(CASES)},
                    rules=[{"match": "*", "level": "verify"}], settings={"limits": {"connections-per-destination": 1}})
    path = [lab.write(f"{i}.eml", body(i)) for i in range(MESSAGES)]
    results = engine.submit([{"to": [f"user@{i}.test"], "path": p} for i in range(len(CASES)) for p in path])
    engine.stop()
    for i, name in enumerate(CASES):
        check = is_left if name in TOO_MANY else goes_on
        check(mxs, name, results[i * MESSAGES:(i + 1) * MESSAGES])
    hl.done()


main()
