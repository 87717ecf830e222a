"""TAP for test programs in Python.

    import tap
    tap.ok(1 + 1 == 2, "sum", f"it was {1 + 1}")
    tap.skip("moon", "no rocket")
    tap.done()

Prints one line a case at once, the plan at the end. Not for threads.
"""
import sys

_cases = 0
_failed = 0
_within = ""


def note(*lines):
    """Prints remarks, `# ...`: what a reader of a failure wants to know."""
    for line in lines:
        for part in str(line).splitlines() or [""]:
            print("#", part, flush=True)


def within(what):
    """From now on the names of cases begin with it."""
    global _within
    _within = what


def ok(passed, name, *why):
    """Reports one case; `why` is printed only when it failed. Returns whether it passed."""
    global _cases, _failed
    _cases += 1
    _failed += not passed
    print(f"{'ok' if passed else 'not ok'} {_cases} - {_within}{name}", flush=True)
    if not passed:
        note(*why)
    return bool(passed)


def equal(got, wanted, name):
    """Reports one case: got == wanted."""
    return ok(got == wanted, name, f"wanted {wanted!r}", f"got    {got!r}")


def skip(name, why):
    """Reports one case that could not run here, and why."""
    global _cases
    _cases += 1
    print(f"ok {_cases} - {name} # SKIP {why}", flush=True)


def done():
    """Prints the plan and exits: 0 when no case failed, 1 otherwise."""
    print(f"1..{_cases}", flush=True)
    sys.exit(1 if _failed else 0)
