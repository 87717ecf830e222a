"""The runner counts what programs report and is not fooled by one that dies, hangs or says nothing."""
from sources import run, tap
import run as runner  # tests/lib/run.py: sources.py puts that folder on the path

# (name, output, exit status or None for out of time, passed, failed, skipped)
PROGRAMS = [
    ("all pass", "ok 1 - a\nok 2 - b\n1..2\n", 0, 2, 0, 0),
    ("the plan comes first", "TAP version 13\n1..2\nok 1 - a\nok 2 - b\n", 0, 2, 0, 0),
    ("one fails", "ok 1 - a\nnot ok 2 - b\n# why\n1..2\n", 1, 1, 1, 0),
    ("one is skipped", "ok 1 - a\nok 2 - b # SKIP no rocket\n1..2\n", 0, 1, 0, 1),
    ("cmocka's way to skip", "1..1\nok 1 # SKIP b\n", 0, 0, 0, 1),
    ("all is skipped", "1..0 # SKIP no rocket\n", 0, 0, 0, 1),
    ("several plans", "1..1\nok 1 - a\n1..1\nok 1 - b\n", 0, 2, 0, 0),
    ("a failure that is known", "not ok 1 - a # TODO later\n1..1\n", 0, 0, 0, 0),
    ("it says nothing", "", 0, 0, 1, 0),
    ("it talks, and reports nothing", "okay, I am done\n1..0\n", 0, 0, 1, 0),
    ("no plan", "ok 1 - a\n", 0, 1, 1, 0),
    ("fewer than planned", "1..2\nok 1 - a\n", 0, 1, 1, 0),
    ("more than planned", "1..1\nok 1 - a\nok 2 - b\n", 0, 2, 1, 0),
    ("exit status without a failure", "ok 1 - a\n1..1\n", 3, 1, 1, 0),
    ("killed", "ok 1 - a\n1..1\n", -11, 1, 1, 0),
    ("killed after a failure", "not ok 1 - a\n1..1\n", -6, 0, 2, 0),
    ("out of time", "ok 1 - a\n1..1\n", None, 1, 1, 0),
]


def counts(output, status):
    tally = runner.Tally().read(output.splitlines(keepends=True))
    fault = tally.judge(status, 1)
    return tally.passed, len(tally.failed) + bool(fault), len(tally.skipped)


def main():
    for name, output, status, *wanted in PROGRAMS:
        tap.equal(counts(output, status), tuple(wanted), name)
    tally = runner.Tally().read(["not ok 1 - a\n", "# why\n", "ok 2 - b\n", "# of b\n"])
    tap.equal(tally.failed, [("a", ["# why"])], "a failed case keeps what it said")

    known = run("scripts/test", "--list").stdout.split()
    tap.equal(known, "unit talk sim wire strict feed fuzz lint packetdrill".split(), "scripts/test --list names the suites")
    result = run("scripts/test", "--suite", "lasagne")
    tap.ok(result.returncode == 2 and "lasagne" in result.stderr and all(s in result.stderr for s in known),
           "an unknown suite is refused, with the names of those that are known", result)
    tap.done()


main()
