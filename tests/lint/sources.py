"""What the lint programs look at: the checkout, its files, and how a tool's verdict becomes a case."""
import contextlib
import os
import subprocess
import sys
import tempfile

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("HARDLINE_BUILD", os.path.join(TOP, "build"))
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))
import tap  # noqa: E402

FAULT_LINES = 200


def run(*cmd, cwd=TOP, env=None):
    return subprocess.run(cmd, cwd=cwd, capture_output=True, text=True, errors="replace", env=env)


def files(*suffixes):
    """The project's files, from its top: what git tracks and what it would."""
    listed = run("git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "--deduplicate", "-z")
    if listed.returncode:
        raise SystemExit(f"git ls-files failed, the lint suite takes a git checkout: {listed.stderr}")
    found = [f for f in listed.stdout.split("\0") if f and os.path.isfile(os.path.join(TOP, f))]
    return sorted(f for f in found if not suffixes or f.endswith(suffixes))


def read(file):
    with open(os.path.join(TOP, file), "rb") as f:
        return f.read()


def no_faults(faults, name):
    """One case that passes when there are none."""
    return tap.ok(not faults, name, *faults[:FAULT_LINES],
                  *([f"... and {len(faults) - FAULT_LINES} more"] if len(faults) > FAULT_LINES else []))


def tool_is_content(result, name):
    return tap.ok(result.returncode == 0, name, *(result.stdout + result.stderr).splitlines()[:FAULT_LINES])


@contextlib.contextmanager
def planted(text):
    """A C file with a fault, to see whether a tool notices; its path."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "planted.c")
        with open(path, "w") as f:
            f.write(text)
        yield path
