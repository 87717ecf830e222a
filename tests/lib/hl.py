"""What scripted tests stand on: a lab of two hosts, processes with bounded waits, a throw-away CA, a real Postfix.

    import os, sys
    sys.path.insert(0, os.path.join(os.environ.get("HARDLINE_SOURCE", "."), "tests", "lib"))
    import hl

    lab = hl.Lab()                                # private mounts, a scratch folder; all is gone when the program ends
    net = hl.Net(lab, hosts=2)                    # mx side: 10.77.0.1, .2 and fd77::1, ::2; our side: a bare veth end
    ca = hl.Ca(lab)
    mx = hl.Postfix(lab, net, 1, ca.issue("mx1.example.test"), users=["alice@example.test"])
    engine = lab.start([...], ns=net.sender, ready="listening")
    hl.ok(mx.wait_for_mail("alice@example.test", 1), "alice has her mail", mx.log())
    hl.done()

The sender's end of the wire (net.sender_if) has no address in the kernel: hardline's own stack answers there, under
the addresses net.engine_ip4 and net.engine_ip6. Everything is one thread's unless it says otherwise.
HARDLINE_KEEP=1 keeps the scratch folder and says where it is.
"""
import atexit
import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from ca import Ca, self_signed  # noqa: F401  (these are hl's names, too)
from pcap import Sniffer, streams  # noqa: F401
from postfix import Postfix  # noqa: F401
from tap import done, equal, note, ok, skip  # noqa: F401
from attacker import Attackers  # noqa: F401

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("HARDLINE_BUILD", os.path.join(TOP, "build"))


class TimedOut(Exception):
    pass


def wait_until(condition, timeout_s, what):
    """Asks condition() until it is true and returns its value; raises TimedOut, which names `what`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimedOut(f"{what}: not within {timeout_s} s")
        time.sleep(0.02)
    return value


def run(cmd, **options):
    """Runs a command to its end; raises with its output when it fails. Returns what it printed."""
    done_ = subprocess.run(cmd, capture_output=True, text=True, timeout=options.pop("timeout", 60), **options)
    if done_.returncode:
        raise RuntimeError(f"`{' '.join(cmd)}` exited with {done_.returncode}: {done_.stderr or done_.stdout}")
    return done_.stdout


class Netns:
    """A network namespace, by name under /run/netns."""

    def __init__(self, name):
        self.name = name
        self.path = "/run/netns/" + name

    def command(self, cmd):
        return ["nsenter", "--net=" + self.path, "--", *cmd]

    def run(self, *cmd, **options):
        return run(self.command(cmd), **options)

    @contextlib.contextmanager
    def entered(self):
        """Sockets that this thread makes meanwhile belong to the namespace."""
        with open("/proc/thread-self/ns/net") as home, open(self.path) as there:
            os.setns(there.fileno(), os.CLONE_NEWNET)
            try:
                yield self
            finally:
                os.setns(home.fileno(), os.CLONE_NEWNET)


class Process:
    """A started command. Its output, both kinds, goes to a file; where stdout is given, only its errors do."""

    def __init__(self, cmd, name, log_path, env, cwd, session, stdout):
        self.name = name
        self.log_path = log_path
        with open(log_path, "wb") as log:
            self.popen = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=log,
                                          env=env, cwd=cwd, start_new_session=session, preexec_fn=_die_with_parent)
        self.pid = self.popen.pid

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def running(self):
        return self.popen.poll() is None

    def wait_ready(self, pattern, timeout_s):
        """Waits until the output matches the pattern; raises when the process ends before."""
        def ready():
            if re.search(pattern, self.log()):
                return True
            if not self.running():
                raise RuntimeError(f"{self.name} ended with {self.popen.returncode} before it was ready:\n{self.log()}")
            return False
        try:
            wait_until(ready, timeout_s, f"{self.name} says /{pattern}/")
        except TimedOut as late:
            raise TimedOut(f"{late}\n{self.log()}") from None

    def wait(self, timeout_s):
        """Waits for its end and returns the exit status, negative for a signal."""
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{self.name} still ran after {timeout_s} s:\n{self.log()}") from None

    def kill(self, number=signal.SIGKILL):
        if self.running():
            self.popen.send_signal(number)

    def stop(self, timeout_s=10):
        """Asks it to end, insists after timeout_s; returns the exit status."""
        self.kill(signal.SIGTERM)
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.popen.wait()


def _die_with_parent():
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Lab:
    """The surroundings of one test program. To be made first, before any thread is started."""

    def __init__(self):
        if os.geteuid() != 0:
            sys.exit("the lab takes network namespaces: run as root, through scripts/env")
        self.processes = []
        self._private_mounts()
        self.folder = tempfile.mkdtemp(prefix="hl-", dir=os.environ.get("TMPDIR", "/tmp"))
        os.chmod(self.folder, 0o711)  # other users' processes reach what is theirs below
        atexit.register(self.close)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(1))

    @staticmethod
    def _private_mounts():
        os.unshare(os.CLONE_NEWNS)
        run(["mount", "--make-rprivate", "/"])
        os.makedirs("/run/netns", exist_ok=True)
        run(["mount", "-t", "tmpfs", "hl-netns", "/run/netns"])

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text):
        """Writes a file in the scratch folder and returns its path."""
        with open(self.path(name), "wb") as f:
            f.write(text.encode() if isinstance(text, str) else text)
        return self.path(name)

    def start(self, cmd, *, name=None, ns=None, ready=None, timeout_s=30, env=None, cwd=None, session=False,
              stdout=None):
        """Starts a command, within a namespace if one is given; waits until its output matches `ready`.

        session   it leads a process group of its own: for programs that signal their whole group
        stdout    an open file for its standard output
        """
        name = name or os.path.basename(cmd[0])
        log = self.path(f"{name}.{len(self.processes)}.log")
        process = Process(ns.command(cmd) if ns else cmd, name, log, {**os.environ, **(env or {})}, cwd,
                          session, stdout)
        self.processes.append(process)
        if ready:
            process.wait_ready(ready, timeout_s)
        return process

    def close(self):
        for process in reversed(self.processes):
            process.kill(signal.SIGTERM)
        for process in reversed(self.processes):
            process.stop()
        self.processes = []
        if os.environ.get("HARDLINE_KEEP") == "1":
            note(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


class Net:
    """Two hosts on one wire: a veth pair, `hls0` in the namespace `sender`, `hlr0` in `receiver`.

    The receiver is an ordinary host with `hosts` addresses per family. Frames have checksums and ordinary sizes.
    """

    sender_if = "hls0"
    receiver_if = "hlr0"
    engine_ip4 = "10.77.0.100"
    engine_ip6 = "fd77::100"
    prefix4 = 24
    prefix6 = 64

    def __init__(self, lab, hosts=1, mtu=1500):
        self.sender = Netns("sender")
        self.receiver = Netns("receiver")
        for ns in (self.sender, self.receiver):
            run(["ip", "netns", "add", ns.name])
            ns.run("ip", "link", "set", "lo", "up")
        self.sender.run("ip", "link", "add", self.sender_if, "type", "veth",
                        "peer", "name", self.receiver_if, "netns", self.receiver.name)
        self.sender.run("sysctl", "-qw", f"net.ipv6.conf.{self.sender_if}.disable_ipv6=1")
        for ns, dev in ((self.sender, self.sender_if), (self.receiver, self.receiver_if)):
            ns.run("ethtool", "-K", dev, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
            ns.run("ip", "link", "set", dev, "mtu", str(mtu), "up")
        for host in range(1, hosts + 1):
            self.add_host(host)

    @staticmethod
    def ip4(host):
        return f"10.77.0.{host}"

    @staticmethod
    def ip6(host):
        return f"fd77::{host:x}"

    def add_host(self, host):
        """Gives the receiver the addresses number `host`, 1 to 99 or 101 to 254."""
        for address in (f"{self.ip4(host)}/{self.prefix4}", f"{self.ip6(host)}/{self.prefix6}"):
            self.receiver.run("ip", "address", "replace", address, "dev", self.receiver_if, "nodad")

    def mac(self, ns, dev):
        return re.search(r"link/ether (\S+)", ns.run("ip", "link", "show", dev))[1]

    @contextlib.contextmanager
    def kernel_sender(self, host=200):
        """Meanwhile the sender's end has an address in the kernel, for tests of the receiving side itself."""
        address = f"{self.ip4(host)}/{self.prefix4}"
        self.sender.run("ip", "address", "add", address, "dev", self.sender_if)
        try:
            with self.sender.entered():
                yield self.ip4(host)
        finally:
            self.sender.run("ip", "address", "del", address, "dev", self.sender_if)

    def answers(self, host, port=25):
        """Whether something listens there, asked from within the receiver."""
        with self.receiver.entered():
            try:
                socket.create_connection((self.ip4(host), port), 1).close()
                return True
            except OSError:
                return False
