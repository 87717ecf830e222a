"""The engine dies by SIGKILL at random moments, again and again: the library's verdicts are one a recipient and true, and
submitting again what was not sent or is in doubt gives every message once at the least."""
from ringlab import Books, RingLab, hl

KILLS = 40
MESSAGES = 4000


def main():
    lab = RingLab("--delay-us", "4000", "--arena", str(4 << 20), "--slots", "128", "--completions", "128")
    lab.start_engine()
    tally = lab.tally(MESSAGES)
    kills = 0
    while kills < KILLS and tally.running():
        hl.wait_until(lambda: "attached" in lab.engine.log() or not tally.running(), 20, "the producer attaches")
        lab.sleep(0, 0.06)
        lab.kill_engine()
        kills += 1
        lab.start_engine()
    status = tally.wait(120)
    books = Books(lab, tally)
    faults = list(books.faults())
    hl.note(f"{kills} kills: {books.summary}")
    hl.equal(status, 0, "every recipient came to an end")
    hl.ok(kills > 5, "the engine was killed in mid-delivery", f"{kills} times")
    hl.ok(not faults, "one true verdict a recipient and submission", *faults[:20])
    hl.equal(books.summary.get("left"), 0, "nothing is left without a result")
    hl.ok(books.summary.get("unsent", 0) > 0 and books.summary.get("doubt", 0) > 0,
          "both verdicts of the library were seen", books.summary)
    hl.ok(len({a for a, _ in books.delivered}) == len({a for a, _, _ in books.told}) > MESSAGES,
          "every recipient has its message once at the least")
    hl.equal(lab.stop_engine(), 0, "the last engine drains")
    hl.done()


main()
