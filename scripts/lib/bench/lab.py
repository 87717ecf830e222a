"""The engine, the farm, the generator and the peers, started, sampled and stopped.

The engine and the farm talk over net_memif, which needs no kernel: the engine's CPU time is its own. The peers talk to their
sink over a veth pair, with the kernel's offloads on. Engine and peer have the first CPU in turns, farm, generator and sink the next.
"""
import contextlib
import json
import os
import re
import signal
import subprocess
import time

from stage import TOP, Off, hl
from engine import Engine, find_program

PEERS = os.environ.get("HARDLINE_PEERS", os.path.join(TOP, "..", "shared", "peers"))
ENGINE_CPU = min(os.sched_getaffinity(0))
DOMAIN = "farm.test"
MX = "mx1." + DOMAIN
FARM_IP, ENGINE_IP, PREFIX = "10.77.0.1", "10.77.0.100", 16
OFFLOADS = ("tx", "tso", "gso", "gro")
PEER_LINE = re.compile(r"(\d+) messages (\d+) handshakes (\d+) failed in ([\d.]+)s wall, cpu ([\d.]+)s(?:, (\d+) resumed)?")
# What else the machine does is to disturb no side, and both alike: a session is a group of the scheduler's.
NICE = ["setsid", "sh", "-c", 'echo -20 2>/dev/null >/proc/self/autogroup; exec nice -n -10 "$@"', "sh"]
READY_S = 60
FARM_OPTIONS = os.environ.get("HARDLINE_BENCH_FARM", "").split()  # for tests: a receiver that is not so good,
GENERATE_OPTIONS = os.environ.get("HARDLINE_BENCH_GENERATE", "").split()  # a generator that offers more


def farm_cpu():
    """Beside the engine, where there are two CPUs."""
    usable = sorted(os.sched_getaffinity(0))
    return next((cpu for cpu in usable if cpu != ENGINE_CPU), ENGINE_CPU)


def on_cpu(cpu, command):
    return ["taskset", "-c", str(cpu), *NICE, *command]


def zero_copy():
    """The farm reads packets where the engine has them, as a card would; memif can in memory that lies in few files only."""
    return "" if os.environ.get("HARDLINE_NO_HUGE") == "1" else ",zero-copy=yes"


def stolen_s(cpu):
    """For how long the host has run somebody else while this CPU had something to run (proc(5), steal)."""
    with open("/proc/stat") as f:
        fields = next(line.split() for line in f if line.startswith(f"cpu{cpu} "))
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


class MemifEngine(Engine):
    """An engine whose port is the client's end of a memif pair."""

    def command(self, *options):
        return [*NICE, *super().command(*options)]

    def sample(self):
        """Counters, the clock beside them and the CPU time of the polling threads, as near to each other as can be."""
        status = self.status()
        return {"counters": status["total"], "published_us": max(core["published_us"] for core in status["cores"]),
                "cpu_s": sum(s for name, s in self.cpu_s().items() if name.startswith("hl-core")),
                "waited_s": self.waited_s(), "stolen_s": stolen_s(ENGINE_CPU), "memory_kb": self.memory_kb(), "pools": status["cores"][0]["pools"]}

    def waited_s(self):
        """How long the polling threads have been ready and had no CPU."""
        waited = 0.0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/comm") as f:
                polls = f.read().startswith("hl-core")
            with open(f"/proc/{self.process.pid}/task/{task}/schedstat") as f:
                waited += int(f.read().split()[1]) / 1e9 if polls else 0
        return waited

    def memory_kb(self, which="VmRSS"):
        """Resident pages now; VmHWM: the most that there were."""
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(which + r":\s+(\d+)", f.read())[1])


class Farm:
    """hardline-bench farm; its lines of JSON. Without a cert (None) it wants --plain among the options."""

    def __init__(self, lab, number, cert, options, addresses=f"{FARM_IP}/{PREFIX}"):
        self.socket = lab.path(f"memif{number}.sock")
        self.figures = lab.path(f"farm{number}.json")
        secured = ["--chain", cert.chain, "--private-key", cert.key, "--groups", "X25519"] if cert else []
        self.process = lab.start(
            on_cpu(farm_cpu(), [find_program("hardline-bench"), "farm", "--device",
                                f"net_memif0,role=server,socket={self.socket},socket-abstract=no", "--addresses",
                                addresses, "--domain", DOMAIN, "--cpu", str(farm_cpu()), *secured, "--json", self.figures,
                                *options, *FARM_OPTIONS]),
            name=f"farm{number}")
        hl.wait_until(lambda: self.event("ready") or not self.process.running(), READY_S, "the farm is ready")
        if not self.event("ready"):
            raise Off(f"the farm did not start: {self.process.log().strip()[-500:]}")

    def event(self, kind):
        """The last line of that kind; None: there is none yet."""
        try:
            with open(self.figures) as f:
                lines = [json.loads(line) for line in f if line.endswith("\n")]
        except FileNotFoundError:
            return None
        return next((line for line in reversed(lines) if line.get("event") == kind), None)

    def sample(self):
        """The figures so far."""
        before = self.event("status")
        self.process.kill(signal.SIGUSR1)
        hl.wait_until(lambda: self.event("status") != before or not self.process.running(), 20, "the farm's figures")
        return self.event("status") or {}

    def stop(self):
        status = self.process.stop(20)
        return {**(self.event("end") or self.event("done") or {}), "status": status}


class Generator:
    """hardline-bench generate under control: warm-up, a pause in which the engine is sampled, the measured phase."""

    def __init__(self, lab, number, engine, options):
        self.path = lab.path(f"generate{number}.err")
        with open(self.path, "w") as errors:
            self.popen = subprocess.Popen(
                on_cpu(farm_cpu(), [find_program("hardline-bench"), "generate", "--socket", engine.feed_socket, "--domain",
                                    DOMAIN, "--controlled", *options, *GENERATE_OPTIONS]),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)

    def complaint(self):
        with open(self.path, errors="replace") as f:
            return [line.strip() for line in f if line.startswith("hardline-bench")][-3:]

    def line(self):
        line = self.popen.stdout.readline()
        if not line:
            raise Off(f"the generator ended with {self.popen.wait()}: {'; '.join(self.complaint()) or 'it said nothing'}")
        return json.loads(line)

    def wait_warm(self):
        first = self.line()
        return None if first["event"] == "warm" else first

    def go(self):
        self.popen.stdin.write("go\n")
        self.popen.stdin.flush()

    def result(self):
        return self.line() | {"status": self.popen.wait(60)}

    def end(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()


class BenchLab:
    """What all cases share: the CA, certificates, the veth pair, the peers' programs."""

    def __init__(self):
        self.lab = hl.Lab()
        self.net = hl.Net(self.lab)
        self.certs, self.programs, self.count, self.sinks = {}, {}, 0, {}
        self.groups = self.lab.write("openssl.cnf", "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n"
                                                    "Groups = X25519\n")

    def next(self):
        self.count += 1
        return self.count

    def cert(self, key):
        """(ca, leaf): leaf, intermediate and root of one kind of key."""
        if key not in self.certs:
            ca = hl.Ca(self.lab, "ca-" + key, key=key)
            self.certs[key] = (ca, ca.issue(MX, key=key))
        return self.certs[key]

    # the engine's side

    @contextlib.contextmanager
    def engine(self, key, farm_options=(), settings=None):
        """An engine and its farm, talking; (engine, farm)."""
        ca, leaf = self.cert(key)
        number = self.next()
        farm = Farm(self.lab, number, leaf, farm_options)
        base = {"cores": {"cpus": [ENGINE_CPU], "idle": "sleep"}, "allow-networks": ["10.77.0.0/16"],
                "net": {"addresses": [f"{ENGINE_IP}/{PREFIX}"]},
                "run": {"log-level": "notice", "user": "", "seccomp": True}}
        for group, values in (settings or {}).items():
            base[group] = base.get(group, {}) | values
        engine = MemifEngine(self.lab, self.net, ca, name=f"engine{number}", routes={MX: (MX, FARM_IP)}, settings=base,
                             port=f"net_memif0,role=client,socket={farm.socket},socket-abstract=no{zero_copy()}")
        try:
            yield engine, farm
        finally:
            if engine.process.running():
                engine.stop()
            farm.process.stop(20)

    # the peers' side

    def compile(self, source, name):
        """A peer's program; None where there is no source."""
        if name not in self.programs:
            path = self.lab.path(name)
            if os.path.exists(source):
                hl.run(["cc", "-O2", "-w", "-o", path, source, "-lssl", "-lcrypto"])
                self.programs[name] = path
            else:
                self.programs[name] = None
        return self.programs[name]

    def peer_program(self, name):
        """(program, None) or (None, why there is none)."""
        if name == "kclient":
            program = self.compile(os.path.join(PEERS, "kclient.c"), "kclient")
            return (program, None) if program else (None, "there is no ../shared/peers/kclient.c beside the checkout")
        path = os.path.join(hl.BUILD, "bench", "peer_kernel")
        return (path, None) if os.access(path, os.X_OK) else (None, "bench/peer_kernel is not built")

    def start_sink(self, key):
        """The peers' receiver for a kind of key: sink.c where it is there, else our farm cannot serve the kernel."""
        program = self.compile(os.path.join(PEERS, "sink.c"), "sink")
        if not program:
            return "there is no ../shared/peers/sink.c beside the checkout: the peers have nobody to send to"
        if self.sinks.get("key") == key:
            return None
        if "process" in self.sinks:
            self.sinks["process"].stop()
            hl.wait_until(lambda: not self.net.answers(1), 10, "the old sink is gone")
        leaf = self.cert(key)[1]
        process = self.lab.start(on_cpu(farm_cpu(), [program, self.net.ip4(1), "25", leaf.chain, leaf.key, "1"]),
                                 ns=self.net.receiver, env={"OPENSSL_CONF": self.groups}, name="sink")
        hl.wait_until(lambda: self.net.answers(1), 10, "the sink listens")
        self.sinks = {"key": key, "process": process}
        return None

    def offloads(self, state):
        for ns, dev in ((self.net.sender, self.net.sender_if), (self.net.receiver, self.net.receiver_if)):
            ns.run("ethtool", "-K", dev, *(word for offload in OFFLOADS for word in (offload, state)))

    def run_peer(self, name, key, in_flight, connections, per_connection, message_bytes, resume=False):
        """One run; its figures."""
        program, _ = self.peer_program(name)
        self.offloads("on")
        command = on_cpu(ENGINE_CPU, [program, self.net.ip4(1), "25", self.cert(key)[0].root, MX, str(in_flight),
                                      str(connections), str(per_connection), str(message_bytes)])
        with self.net.kernel_sender():
            ended = subprocess.run(self.net.sender.command(command + (["resume"] if resume else [])), capture_output=True,
                                   text=True, timeout=900)
        match = PEER_LINE.search(ended.stdout)
        if not match:
            raise Off(f"{name} ended with {ended.returncode} and no figures: {(ended.stdout + ended.stderr).strip()[-300:] or 'it said nothing'}")
        messages, handshakes, failed, wall_s, cpu_s = map(float, match.groups()[:5])
        resumed = match.group(6)  # not every peer says so
        units = messages if per_connection else handshakes
        return {"units": int(units), "failed": int(failed), "wall_s": wall_s, "cpu_s": cpu_s,
                "resumed_share": int(resumed) / max(handshakes, 1) if resumed else None,
                "per_cpu_s": units / max(cpu_s, 1e-3), "per_s": units / max(wall_s, 1e-3)}


def pause(seconds):
    time.sleep(seconds)
