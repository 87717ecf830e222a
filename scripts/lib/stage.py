"""What scripts/demo and scripts/bench share: the tests' library, a release build, signals, the file of figures."""
import fcntl
import json
import os
import re
import signal
import subprocess
import sys

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))
import hl  # noqa: E402
import run as runner  # noqa: E402

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Off(Exception):
    """It cannot go on; the text says why."""


class Interrupted(BaseException):
    pass


def say(text=""):
    print(text, flush=True)


def table(rows):
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        say("    " + "  ".join(str(cell).ljust(w) for cell, w in zip(row, widths)).rstrip())


def _on_signal(*_):
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # once is enough: cleaning up is not to be disturbed
    raise Interrupted


def take_signals():
    """From now on a signal raises Interrupted. To be called again after hl.Lab(), which has its own way."""
    for number in SIGNALS:
        signal.signal(number, _on_signal)


def _complaints(ended):
    lines = (ended.stdout + ended.stderr).splitlines()
    return [line for line in lines if re.search("error", line, re.I)][:10] or lines[-10:]


def build_type():
    """What Meson says of the build in use."""
    options = json.loads(hl.run(["meson", "introspect", "--buildoptions", hl.BUILD]))
    value = {o["name"]: o["value"] for o in options}
    return value["buildtype"] + (", link-time optimisation" if value["b_lto"] else "")


RELEASE = ["--buildtype=release", "-Db_lto=true", "-Db_lto_threads=2"]


def build(targets=("engine/hardlined", "engine/cli/hardline")):
    """A release build in build-demo/, unless HARDLINE_BUILD names one."""
    if "HARDLINE_BUILD" in os.environ:
        missing = next((t for t in targets if not os.access(os.path.join(hl.BUILD, t), os.X_OK)), None)
        if missing:
            raise Off(f"HARDLINE_BUILD: {hl.BUILD} has no {missing}: run ninja there, or leave HARDLINE_BUILD out")
        return
    hl.BUILD = os.path.join(TOP, "build-demo")
    os.makedirs(hl.BUILD, exist_ok=True)
    say("  building (build-demo/)")
    with open(os.path.join(hl.BUILD, ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = os.path.exists(os.path.join(hl.BUILD, "meson-private", "build.dat"))
        for cmd in (["meson", "setup", *(["--reconfigure"] if known else []), *RELEASE, hl.BUILD, TOP],
                    ["ninja", "-C", hl.BUILD, *targets]):
            ended = subprocess.run(cmd, cwd=TOP, capture_output=True, text=True)
            if ended.returncode:
                raise Off("\n    ".join([f"building failed: {' '.join(cmd)}", *_complaints(ended)]))


def write_json(path, found):
    with open(path + ".part", "w") as f:
        json.dump(found, f, indent=2)
        f.write("\n")
    os.rename(path + ".part", path)


def perform(path, found, play):
    """Calls play(), which fills `found`; writes that to a file whatever happens.

    Returns the exit status and what play returned; found["troubles"] has what was off.
    """
    status, result = 1, None
    try:
        with runner.Hugepages():
            result = play()
        found["ok"] = not found["troubles"]
        status = 0 if found["ok"] else 1
    except Interrupted:
        found["troubles"].append("interrupted")
        status = 130
    except (Off, RuntimeError, OSError, subprocess.SubprocessError, hl.TimedOut) as fault:
        found["troubles"].append(str(fault))
    finally:
        write_json(path, found)
    for trouble in found["troubles"]:
        say(f"  OFF: {trouble}")
    return status, result
