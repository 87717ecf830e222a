"""Runs google/packetdrill's scripts against the stack: gtests/net/tcp of the checkout that PACKETDRILL_DIR names, our own
in own/, and what PACKETDRILL_SCRIPTS names (files and folders, by colons). README.md says what is passed over and why.

usage: packetdrill.py [SHIM]
"""
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import tap  # noqa: E402

BUILD = os.environ.get("HARDLINE_BUILD", os.path.join(HERE, "..", "..", "build"))
IP_VERSIONS = ("ipv4", "ipv6")
TIMEOUT_S = 60
WORKERS = 2

# Sysctls that scripts may set: those that the shim reads, and those without a counterpart here.
KNOBS = """tcp_rmem tcp_wmem tcp_timestamps tcp_sack tcp_window_scaling tcp_congestion_control tcp_syn_retries
    tcp_synack_retries tcp_frto tcp_dsack tcp_fack tcp_reordering tcp_slow_start_after_idle tcp_early_retrans
    tcp_recovery tcp_tso_win_divisor tcp_min_tso_segs tcp_ecn tcp_ecn_option tcp_pacing_ss_ratio tcp_pacing_ca_ratio
    tcp_notsent_lowat tcp_fastopen tcp_fastopen_key tcp_syncookies tcp_mtu_probing tcp_base_mss""".split()
OTHER_TOOLS = ("tc", "ip", "ethtool")  # they set up a device that is not there

# What a script cannot do without, and the stack has no equivalent of, by what its text says.
NOT_HERE = (
    (r"\bsendfile\(", "sendfile: the stack takes bytes, not files"),
    (r"qdisc .*limit 0", "a full local queue (tc): a port that takes nothing is asked again in the next turn"),
    (r"ip (-6 )?route change", "route attributes of Linux"),
)

# The shim's words for options that it does not know, by level and number.
OPTION_NAMES = {(1, 37): "SO_TIMESTAMPING", (1, 60): "SO_ZEROCOPY", (6, 3): "TCP_CORK", (6, 14): "TCP_MD5SIG",
                (6, 23): "TCP_FASTOPEN", (6, 30): "TCP_FASTOPEN_CONNECT", (6, 25): "TCP_NOTSENT_LOWAT", (6, 36): "TCP_INQ"}
FLAG_NAMES = {0x80: "MSG_EOR", 0x2000: "MSG_ERRQUEUE", 0x8000: "MSG_MORE", 0x4000000: "MSG_ZEROCOPY",
              0x20000000: "MSG_FASTOPEN"}

# What TCP_INFO of Linux says and the stack keeps no account of: what a script asserts of it is left out.
UNKNOWN_FACTS = ("tcpi_reordering", "tcpi_reord_seen", "tcpi_rwnd_limited", "tcpi_sndbuf_limited", "tcpi_busy_time")
UNKNOWN_ASSERT = re.compile(r"\bassert [^;\n}]*\b(" + "|".join(UNKNOWN_FACTS) + r")\b[^;\n}]*")

PUSH_ONLY = re.compile(r"^\S+?:(\d+): warning handling packet: live packet field tcp_psh: expected: 1 ", re.M)
ANY_WARNING = re.compile(r"^\S+?:\d+: warning handling packet: ", re.M)
FLAGS = re.compile(r"^([^<>/]*>\s*(?:\[\S+\]\s*)?)([FSRPUEWA.]+)(?=\s+\d+:\d+\(\d+\))")


# ---- packetdrill itself

def find_tool(checkout):
    """packetdrill, built if need be; None and why."""
    source = os.path.join(checkout, "gtests", "net", "packetdrill")
    there = os.path.join(source, "packetdrill")
    if os.access(there, os.X_OK):
        return there, None
    folder = os.path.join(BUILD, "packetdrill")
    ours = os.path.join(folder, "packetdrill")
    if os.access(ours, os.X_OK):
        return ours, None
    missing = [t for t in ("flex", "bison", "make") if not shutil.which(t)]
    if missing:
        return None, f"packetdrill is not built, and that takes {' and '.join(missing)}: apt-get install {' '.join(missing)}"
    shutil.copytree(source, folder, dirs_exist_ok=True)
    made = subprocess.run(["make", "-f", "Makefile.Linux", "packetdrill", "CFLAGS=-g -O1 -w"], cwd=folder,
                          capture_output=True, text=True, errors="replace")
    return (ours, None) if made.returncode == 0 else (None, "building packetdrill failed:\n" + made.stderr[-2000:])


# ---- one run

def make_sandbox(folder):
    knobs = os.path.join(folder, "sysctl", "ipv4")
    parameters = os.path.join(folder, "module", "tcp_cubic", "parameters")
    programs = os.path.join(folder, "bin")
    for path in (knobs, parameters, programs):
        os.makedirs(path)
    for name in KNOBS:
        open(os.path.join(knobs, name), "w").close()
    open(os.path.join(parameters, "hystart_detect"), "w").close()
    for name in OTHER_TOOLS:
        with open(os.path.join(programs, name), "w") as f:
            f.write("#!/bin/sh\nexit 0\n")
        os.chmod(os.path.join(programs, name), 0o755)


class Runner:
    def __init__(self, tool, shim):
        self.tool = tool
        self.shim = shim

    def run(self, text, folder, ip_version, *options):
        """Runs a script's text as if it lay in folder; returns (exit status or None, what it said)."""
        with tempfile.TemporaryDirectory(prefix="hl-packetdrill-") as tmp:
            make_sandbox(tmp)
            script = os.path.join(tmp, "script.pkt")
            with open(script, "w") as f:
                f.write(text)
            return self._run(tmp, folder, [*options, f"--ip_version={ip_version}", script])

    def _run(self, tmp, folder, args):
        cmd = ["unshare", "--net", "--mount", "--propagation", "private", os.path.join(HERE, "sandbox"), tmp,
               "env", "LD_PRELOAD=" + self.shim, self.tool, "--so_filename=" + self.shim,
               "--so_flags=/proc/sys/net/ipv4", *args]
        process = subprocess.Popen(cmd, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        try:
            said, _ = process.communicate(timeout=TIMEOUT_S)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said, status = process.communicate()[0], None
        restore = f"/tmp/sysctl_restore_{process.pid}.sh"  # set_sysctls.py leaves it
        if os.path.exists(restore):
            os.unlink(restore)
        return status, said.replace(os.path.join(tmp, "script.pkt"), "script")

    def judge(self, case):
        """Returns (verdict, name, lines): passed, failed or skipped."""
        path, name, ip_version, why_not = case
        with open(path) as f:
            text = f.read()
        reason = why_not or needs_what_is_not_here(text)
        if reason:
            return "skipped", name, [reason]
        left_out = sorted(set(UNKNOWN_ASSERT.findall(text)))
        text = UNKNOWN_ASSERT.sub("pass", text)
        folder = os.path.dirname(path)
        status, said = self.run(text, folder, ip_version, "--non_fatal=packet")
        if status == 0 and ANY_WARNING.search(said):
            pushes = [int(n) for n in PUSH_ONLY.findall(said)]
            left_out.append(f"PSH in {len(pushes)} lines")
            status, said = self.run(without_push(text, pushes), folder, ip_version)
        if status == 0:
            return "passed", name, [f"{name}: not compared: {', '.join(left_out)}"] if left_out else []
        reason = what_it_lacked(said)
        if reason:
            return "skipped", name, [reason]
        return "failed", name, ["out of time" if status is None else f"exit status {status}", *said.splitlines()[-30:]]


def without_push(text, numbers):
    """Takes PSH off these lines: Linux sets it on every packet that it gives to its segmentation offload, we on the last of
    what was written (RFC 9293 section 3.9.1.2), and no peer may make anything of the difference."""
    lines = text.split("\n")
    for n in numbers:
        if flags := FLAGS.match(lines[n - 1]):
            lines[n - 1] = flags[1] + flags[2].replace("P", "") + lines[n - 1][flags.end():]
    return "\n".join(lines)


def needs_what_is_not_here(text):
    for pattern, reason in NOT_HERE:
        if found := re.search(pattern, text):
            return reason.format(found[0])
    return None


def what_it_lacked(said):
    found = re.search(r"^hardline: unsupported: (.*)$", said, re.M)
    if not found:
        return None
    if option := re.match(r"[gs]etsockopt level (\d+) option (\d+)", found[1]):
        level, number = map(int, option.groups())
        return OPTION_NAMES.get((level, number), found[1])
    if flags := re.match(r"(?:send|receive) flags 0x([0-9a-f]+)", found[1]):
        return " and ".join(name for bit, name in FLAG_NAMES.items() if int(flags[1], 16) & bit) or found[1]
    return found[1]


# ---- which scripts

def read_skips():
    """skips.txt: `path or folder/` and, after blanks, the reason."""
    with open(os.path.join(HERE, "skips.txt")) as f:
        pairs = [line.split(None, 1) for line in f if line.strip() and not line.startswith("#")]
    return [(path, reason.strip()) for path, reason in pairs]


def scripts_below(top):
    if os.path.isfile(top):
        return [top]
    return sorted(os.path.join(folder, f) for folder, _, files in os.walk(top) for f in files if f.endswith(".pkt"))


def cases_of(top, skips):
    for path in scripts_below(top):
        name = os.path.relpath(path, top) if os.path.isdir(top) else os.path.basename(path)
        name = name.removesuffix(".pkt")
        reason = next((r for p, r in skips if name == p or p.endswith("/") and name.startswith(p)), None)
        if reason:
            yield path, name, None, reason
            continue
        with open(path) as f:
            fixed = re.search(r"^--ip_version=(\S+)", f.read(), re.M)
        for version in [fixed[1]] if fixed else IP_VERSIONS:
            yield path, f"{name} {version}", version, None


def report(verdict, name, lines):
    if verdict == "skipped":
        tap.skip(name, lines[0])
    else:
        tap.ok(verdict == "passed", name, *lines)
        if verdict == "passed":
            tap.note(*lines)


def main():
    checkout = os.environ.get("PACKETDRILL_DIR", "")
    if not os.path.isdir(os.path.join(checkout, "gtests", "net", "packetdrill")):
        tap.skip("scripts", "PACKETDRILL_DIR does not name a checkout of google/packetdrill")
        tap.done()
    tool, why = find_tool(os.path.realpath(checkout))
    if not tap.ok(tool and len(sys.argv) > 1, "packetdrill and the shim are there", why or "the shim was not built"):
        tap.done()
    runner = Runner(tool, os.path.realpath(sys.argv[1]))
    more = [os.path.realpath(p) for p in os.environ.get("PACKETDRILL_SCRIPTS", "").split(":") if p]
    cases = [c for top in (os.path.join(HERE, "own"), os.path.realpath(os.path.join(checkout, "gtests", "net", "tcp")), *more)
             for c in cases_of(top, read_skips())]
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for verdict in pool.map(runner.judge, cases):
            report(*verdict)
    tap.done()


if __name__ == "__main__":
    main()
