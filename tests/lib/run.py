"""What scripts/test runs in the environment of scripts/env: builds, runs the programs that meson knows as tests, counts.

usage: run.py SUITE...

A test program prints TAP. Every case counts; beside them a program counts as one failed when it exits non-zero without
a `not ok`, reports no case, reports other than its plan says, or outlives its time. Not a test framework:
what a program does is its own business, but what it leaves running is ended here.
"""
import concurrent.futures
import ctypes
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
SANITIZED_SUITES = {"unit", "talk", "sim", "fuzz"}
SIDE_BY_SIDE_SUITES = {"unit", "talk", "sim", "fuzz", "lint"}
DEFAULT_TIMEOUT_S = 600
MESON_DEFAULT_TIMEOUT_S = 30
JOBS = os.cpu_count() or 1
FAILED_OUTPUT_LINES = 60

RESULT = re.compile(r"^(not )?ok\b(?:\s+\d+)?\s*(?:-\s*)?(.*)$")
DIRECTIVE = re.compile(r"#\s*(SKIP|TODO)\b\s*(.*)$", re.I)
PLAN = re.compile(r"^1\.\.(\d+)\s*(?:#\s*SKIP\s*(.*))?$", re.I)


def say(line=""):
    print(line, flush=True)


# ---- one program's TAP

class Tally:
    """What the output of one program says."""

    def __init__(self):
        self.passed = 0
        self.skipped = []  # (case, why)
        self.failed = []  # (case, output lines)
        self.planned = None
        self.results = 0

    def read(self, lines):
        talking = None  # output lines of the failing case that is talking
        for line in lines:
            line = line.rstrip("\n")
            if plan := PLAN.match(line):
                self.planned = (self.planned or 0) + int(plan[1])
                if plan[2] is not None and plan[1] == "0":
                    self.skipped.append(("all", plan[2]))
                talking = None
            elif result := RESULT.match(line):
                talking = self._result(*result.groups())
            elif talking is not None:
                talking.append(line)
        return self

    def _result(self, negated, rest):
        self.results += 1
        directive = DIRECTIVE.search(rest)
        name = rest[:directive.start()].strip() if directive else rest.strip()
        if directive and directive[1].upper() == "SKIP":
            self.skipped.append((name, directive[2]))
        elif negated and not directive:
            self.failed.append((name, []))
            return self.failed[-1][1]
        elif not negated:
            self.passed += 1
        return None

    def judge(self, status, timeout_s):
        """The program's own fault, beside its cases', or None; status None: it was out of time."""
        if status is None:
            return f"still ran after {timeout_s} s"
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        if status and not self.failed:
            return f"exited with status {status} and no `not ok`"
        if not self.results and not self.skipped:
            return "reported no case"
        if self.planned is None:
            return "printed no plan"
        if self.planned != self.results:
            return f"planned {self.planned} cases and reported {self.results}"
        return None


# ---- processes: none outlives this one

class Programs:
    """The processes that run now, each the head of a group of its own. Orphans come to us: we are a subreaper."""

    def __init__(self):
        self.running = {}
        self.lock = threading.Lock()
        PR_SET_CHILD_SUBREAPER = 36
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(self, cmd, **options):
        with self.lock:
            process = subprocess.Popen(cmd, start_new_session=True, stdin=subprocess.DEVNULL, **options)
            self.running[process.pid] = process
            return process

    def finish(self, process, timeout_s):
        """Waits; returns the exit status, None when the time was out and the group was killed."""
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            status = None
            self._signal_group(process.pid, signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        self._signal_group(process.pid, signal.SIGKILL)
        process.wait()
        with self.lock:
            del self.running[process.pid]
        return status

    def end_all(self):
        for pid in list(self.running):
            self._signal_group(pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and any(p.poll() is None for p in list(self.running.values())):
            time.sleep(0.05)
        for pid in list(self.running):
            self._signal_group(pid, signal.SIGKILL)
        self.end_strays()

    def end_strays(self):
        """Kills what finished programs left behind. To be called while none runs."""
        for _ in range(100):
            strays = self._children()
            if not strays:
                return
            for pid in strays:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    pass

    @staticmethod
    def _children():
        children = []
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/children") as f:
                children += map(int, f.read().split())
        return children

    @staticmethod
    def _signal_group(pid, number):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            pass


programs = Programs()


# ---- building

class BuildFailed(Exception):
    pass


class Build:
    def __init__(self, folder, label, options):
        self.folder = os.path.join(TOP, folder)
        self.name = folder
        self.label = label
        self.options = options

    def make(self):
        started = time.monotonic()
        say(f"building {self.name}/{' with sanitizers' if self.label else ''}")
        known = os.path.exists(os.path.join(self.folder, "meson-private", "build.dat"))
        self._step("setup", ["meson", "setup", *(["--reconfigure"] if known else []), "-Db_colorout=never", *self.options,
                             self.folder, TOP])
        self._step("compile", ["ninja", "-C", self.folder])
        say(f"built in {time.monotonic() - started:.0f} s")

    def _step(self, what, cmd):
        log = log_path("build", what + self.label)
        with open(log, "w") as out:
            process = programs.start(cmd, cwd=TOP, stdout=out, stderr=subprocess.STDOUT)
        if status := programs.finish(process, None):
            with open(log, errors="replace") as lines:
                for line in lines.readlines()[-FAILED_OUTPUT_LINES:]:
                    say("    " + line.rstrip())
            raise BuildFailed(f"`{' '.join(cmd[:2])}` in {self.name}/ exited with status {status}; log: {short(log)}")

    def tests(self):
        out = subprocess.run(["meson", "introspect", "--tests", self.folder], check=True, capture_output=True).stdout
        return [Test(self, t) for t in json.loads(out)]


class Test:
    def __init__(self, build, meson_test):
        self.build = build
        self.name = meson_test["name"]
        self.suites = [s.split(":")[-1] for s in meson_test["suite"]]
        self.cmd = meson_test["cmd"]
        self.env = meson_test["env"]
        self.workdir = meson_test["workdir"] or build.folder
        self.side_by_side = meson_test["is_parallel"] and set(self.suites) <= SIDE_BY_SIDE_SUITES
        timeout = meson_test["timeout"]
        self.timeout_s = DEFAULT_TIMEOUT_S if timeout in (0, MESON_DEFAULT_TIMEOUT_S) else timeout

    def environment(self):
        env = dict(os.environ)
        env.update(
            CMOCKA_MESSAGE_OUTPUT="TAP",
            HARDLINE_SOURCE=TOP,
            HARDLINE_BUILD=self.build.folder,
            PYTHONPATH=os.path.join(TOP, "tests", "lib"),
            PYTHONDONTWRITEBYTECODE="1",
            ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
            UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1",
        )
        env.update(self.env)
        return env

    def run(self, suite):
        started = time.monotonic()
        log = log_path(suite, self.name.replace("/", "_") + self.build.label)
        out_log = log + ".out"
        with open(out_log, "w+", errors="replace") as out, open(log, "w+", errors="replace") as err:
            process = programs.start(self.cmd, cwd=self.workdir, env=self.environment(), stdout=out, stderr=err)
            status = programs.finish(process, self.timeout_s)
            out.seek(0)
            lines = out.readlines()
            err.seek(0)
            complaints = err.readlines()
        with open(log, "w") as whole:  # one file a program: what it reported, then what it complained of
            whole.writelines(lines + (["---- standard error\n"] if complaints else []) + complaints)
        os.unlink(out_log)
        tally = Tally().read(lines)
        if fault := tally.judge(status, self.timeout_s):
            tally.failed.append(("the program " + fault, [l.rstrip("\n") for l in lines[-20:] + complaints]))
        elif tally.failed and complaints:
            tally.failed[-1][1].extend(l.rstrip("\n") for l in complaints)
        return Outcome(self.build, suite, self.name, tally, log, time.monotonic() - started)


class Outcome:
    def __init__(self, build, suite, name, tally, log, took_s):
        self.title = f"{suite + build.label:<12} {name}".rstrip()
        self.tally = tally
        self.log = log
        self.took_s = took_s

    def show(self):
        tally = self.tally
        counts = f"{tally.passed} passed"
        if tally.failed:
            counts += f", {len(tally.failed)} failed"
        if tally.skipped:
            counts += f", {len(tally.skipped)} skipped"
        say(f"{'FAIL' if tally.failed else 'ok':<5} {self.title:<44} {counts} ({self.took_s:.1f} s)")
        for case, why in tally.skipped:
            say(f"      skipped: {case}: {why}" if case else f"      skipped: {why}")
        for case, output in tally.failed:
            say(f"      not ok: {case}")
            if len(output) > FAILED_OUTPUT_LINES:
                say(f"        ... ({len(output) - FAILED_OUTPUT_LINES} lines before these)")
            for line in output[-FAILED_OUTPUT_LINES:]:
                say("        " + line)
        if tally.failed and self.log:
            say(f"      log: {short(self.log)}")


def short(path):
    return os.path.relpath(path, TOP)


def log_path(suite, name):
    folder = os.path.join(TOP, "build", "test-logs", suite)
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, name + ".log")


# ---- hugepages

class Hugepages:
    """Sees to 512 MiB of free hugepages when memory allows; gives back what it took."""

    COUNT = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
    FREE = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
    WANTED = 256
    RESERVE = 512
    SPARE_KB = 2 << 20

    def __enter__(self):
        self.before = None
        try:
            if self._read(self.FREE) < self.WANTED:
                self._reserve()
            if self._read(self.FREE) >= self.WANTED:
                return self
        except OSError as fault:
            say(f"hugepages: {fault}")
        self._restore()
        say("hugepages: none to be had, going on with --no-huge (HARDLINE_NO_HUGE=1)")
        os.environ["HARDLINE_NO_HUGE"] = "1"
        return self

    def __exit__(self, *_):
        self._restore()

    def _reserve(self):
        with open("/proc/meminfo") as f:
            available_kb = int(re.search(r"MemAvailable:\s+(\d+)", f.read())[1])
        if available_kb < self.RESERVE * 2048 + self.SPARE_KB:
            return
        self.before = self._read(self.COUNT)
        self._write(self.before + self.RESERVE)

    def _restore(self):
        if self.before is not None:
            self._write(self.before)
            self.before = None

    def _read(self, path):
        with open(path) as f:
            return int(f.read())

    def _write(self, count):
        with open(self.COUNT, "w") as f:
            f.write(str(count))


# ---- the whole

def run_tests(pairs):
    """Runs (suite, test) pairs and shows each as it ends; yields their outcomes."""
    beside = [p for p in pairs if p[1].side_by_side]
    alone = [p for p in pairs if not p[1].side_by_side]
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        futures = [pool.submit(test.run, suite) for suite, test in beside]
        try:
            for done in concurrent.futures.as_completed(futures):
                yield done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            programs.end_all()
            raise
    programs.end_strays()
    for suite, test in alone:
        yield test.run(suite)
        programs.end_strays()


def builds_for(suites):
    builds = [Build("build", "", [])]
    if SANITIZED_SUITES & set(suites):
        builds.append(Build("build-asan", "+asan", ["-Db_sanitize=address,undefined", "-Db_lundef=false",
                                                    "-Dc_args=-Wno-conversion"]))  # it warns of its own conversions
    return builds


def run(suites):
    outcomes = []
    with Hugepages():
        for build in builds_for(suites):
            build.make()
            wanted = [s for s in suites if not build.label or s in SANITIZED_SUITES]
            tests = build.tests()
            pairs = [(s, t) for s in wanted for t in tests if t.suites[:1] == [s]]
            for outcome in run_tests(pairs):
                outcome.show()
                outcomes.append(outcome)
            for suite in wanted:
                if suite not in (s for s, _ in pairs):
                    outcomes.append(empty_suite(build, suite))
                    outcomes[-1].show()
    return outcomes


def empty_suite(build, suite):
    """A suite without a program tests nothing and must not look as if it did."""
    tally = Tally()
    tally.failed.append((f"it has no test program: register one in tests/{suite}/meson.build", []))
    return Outcome(build, suite, "", tally, None, 0)


def close(outcomes, extra_failures=0):
    """Prints the failed cases once more and the closing line; returns the exit status."""
    failed = [f"{o.title}: {case}" for o in outcomes for case, _ in o.tally.failed]
    if failed:
        say("\nfailed:")
        for line in failed:
            say("    " + line)
    passed = sum(o.tally.passed for o in outcomes)
    skipped = sum(len(o.tally.skipped) for o in outcomes)
    count = len(failed) + extra_failures
    say()
    say(f"{passed} passed, {count} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if count else 0


def only_one():
    """Holds this checkout's build directories for us; another run waits here."""
    os.makedirs(os.path.join(TOP, "build"), exist_ok=True)
    lock = open(os.path.join(TOP, "build", ".test-lock"), "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another scripts/test runs in this checkout: waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def main(suites):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    lock = only_one()
    try:
        return close(run(suites))
    except BuildFailed as fault:
        say(f"not ok: {fault}")
        return close([], extra_failures=1)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    finally:
        programs.end_all()
        lock.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
