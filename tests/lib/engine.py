"""hardlined itself, on the sender's end of the wire, and `hardline submit` as its producer.

    engine = Engine(lab, net, ca, routes={"example.test": ("mx1.example.test", net.ip4(1))})
    results = engine.submit([{"from": "a@sender.test", "to": ["alice@example.test"], "path": file}])
    results[0]["verdict"], results[0]["reason"], results[0]["tls"]
    engine.status()["total"]["tls_handshakes"]

Cores sleep when idle. The engine becomes the user nobody. Nothing here knows what a test expects.
"""
import json
import os
import re
import signal
import socket
import struct
import sys

import hl

SENDER = "sender@sender.test"
NOBODY = 65534
DEVICES = {  # by the kind of port: DPDK's device arguments
    "af_packet": "net_af_packet0,iface={iface},qpairs={cores}",
    "af_xdp": "net_af_xdp0,iface={iface},queue_count={cores}",
}


# ---- the configuration

def quoted(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def libconfig(value):
    """A Python value as libconfig writes it: a dict is a group, a list of dicts a list, any other list an array."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) + ("L" if value >= 1 << 31 else "")
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "{ " + " ".join(f"{key} = {libconfig(v)};" for key, v in value.items()) + " }"
    ends = "()" if value and isinstance(value[0], dict) else "[]"
    return ends[0] + ", ".join(map(libconfig, value)) + ends[1]


def route(domain, hop):
    """A route of the configuration; hop is (host, address), or a dict, or a list of these."""
    hops = hop if isinstance(hop, list) else [hop]
    return {"domain": domain, "hops": [h if isinstance(h, dict) else {"host": h[0], "address": h[1]} for h in hops]}


def merged(base, more):
    """base with more's values in it, group by group."""
    result = dict(base)
    for key, value in more.items():
        result[key] = merged(result[key], value) if isinstance(value, dict) and key in result else value
    return result


class Submission:
    """A started `hardline submit`."""

    def __init__(self, process, results_path):
        self.process = process
        self.results_path = results_path

    def results(self):
        """A dict for every recipient that has its result by now, in the order of jobs and recipients."""
        with open(self.results_path) as f:
            lines = [json.loads(line) for line in f if line.endswith("\n")]
        return sorted((line for line in lines if "verdict" in line), key=lambda r: (r["job"], r["recipient"]))

    def wait(self, timeout_s):
        """Waits for the end and returns the results."""
        self.status = self.process.wait(timeout_s)
        return self.results()


class Engine:
    """One daemon, running when the constructor returns.

    routes    {domain: (host, address)}, see route()
    rules     the `tls` list: [{"match": ..., "level": ...}]
    settings  further settings, {"limits": {"connections": 10}}; they win
    port      one of DEVICES, or DPDK's device arguments
    start     False: only the configuration is written
    wall      True: its wall clock can be moved, see set_clock
    """

    def __init__(self, lab, net, ca, *, name="engine", routes=None, rules=(), settings=None, port="af_packet", cores=1,
                 start=True, wall=False):
        self.lab, self.net, self.name, self.cores = lab, net, name, cores
        self.run_folder = lab.path(name)
        os.makedirs(self.run_folder)
        os.chmod(self.run_folder, 0o711)
        os.chown(self.run_folder, NOBODY, -1)  # who removes the sockets at the end
        self.feed_socket = os.path.join(self.run_folder, "feed.sock")
        self.admin_socket = os.path.join(self.run_folder, "admin.sock")
        self.config_path = lab.path(f"{name}.conf")
        device = DEVICES.get(port, port).format(iface=net.sender_if, cores=cores)
        self.config = merged({
            "port": {"device": device},
            "net": {"addresses": [f"{net.engine_ip4}/{net.prefix4}"]},
            "cores": {"cpus": cores, "idle": "sleep"},
            "memory": {"huge": "no" if os.environ.get("HARDLINE_NO_HUGE") == "1" else "auto"},
            "limits": {"connections": 256, "destinations": 1024, "time-wait": 4096},
            "smtp": {"helo-name": "out.sender.test"},
            "crypto": {"ca-file": ca.root},
            "tls": list(rules),
            "route": [route(domain, hop) for domain, hop in (routes or {}).items()],
            "allow-networks": ["10.77.0.0/24"],
            "feed": {"socket": self.feed_socket, "arena-megabytes": 64},
            "run": {"user": "nobody", "admin-socket": self.admin_socket, "log-level": "info", "drain-s": 20},
        }, settings or {})
        self.submissions = 0
        self.wall = lab.write(f"{name}.wall", bytes(8)) if wall else None
        self.process = None
        self.write_config()
        if start:
            self.start()

    # the daemon

    def write_config(self):
        text = "".join(f"{key} = {libconfig(value)};\n" for key, value in self.config.items() if value != [])
        return self.lab.write(os.path.basename(self.config_path), text)

    def program(self, name):
        return find_program(name)

    def command(self, *options):
        return [self.program("hardlined"), "-c", self.config_path, *options]

    def launch(self, *options):
        """Starts the daemon without waiting for it to be ready."""
        env = {"LD_PRELOAD": os.path.join(hl.BUILD, "tests", "strict", "wall.so"), "WALL": self.wall} if self.wall else None
        self.process = self.lab.start(self.command(*options), name=self.name, ns=self.net.sender, env=env)
        return self.process

    def start(self, *options):
        self.launch(*options)
        self.process.wait_ready(r"hardlined \S+: \d+ core", 30)

    def log(self):
        return self.process.log()

    def stop(self, timeout_s=30):
        """Drains; returns the exit status."""
        return self.process.stop(timeout_s)

    def kill(self):
        self.process.kill(signal.SIGKILL)
        self.process.wait(10)

    def reload(self, **sections):
        """Writes the configuration with other sections, sends HUP and waits until it has been read."""
        self.config.update(sections)
        self.write_config()
        seen = len(re.findall(r"reload", self.log()))
        self.process.kill(signal.SIGHUP)
        hl.wait_until(lambda: len(re.findall(r"reload", self.log())) > seen, 10, "the engine reloads")

    def ask(self, command):
        """One question to the admin socket and its answer."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.admin_socket)
            s.sendall(json.dumps({"command": command}).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                if not (part := s.recv(65536)):
                    break
                answer += part
        return json.loads(answer)

    def status(self):
        return self.ask("status")

    def counter(self, name):
        return self.status()["total"][name]

    def connections(self):
        """How many are open, as far as the cores have told."""
        return sum(core["connections"] for core in self.status()["cores"])

    def set_clock(self, ahead_s):
        """Its wall clock is so many seconds ahead of ours from now on. For an engine with wall=True."""
        with open(self.wall, "r+b") as file:
            file.write(struct.pack("=q", ahead_s))

    def cpu_s(self):
        """Seconds of CPU that each thread of the engine has used, {name: seconds}; threads of one name add up."""
        used = {}
        for task in os.listdir(f"/proc/{self.engine_pid()}/task"):
            try:
                with open(f"/proc/{self.engine_pid()}/task/{task}/comm") as f:
                    name = f.read().strip()
                with open(f"/proc/{self.engine_pid()}/task/{task}/schedstat") as f:
                    used[name] = used.get(name, 0) + int(f.read().split()[0]) / 1e9
            except (FileNotFoundError, ProcessLookupError):
                pass
        return used

    def engine_pid(self):
        return self.process.pid

    # the producer

    def start_submit(self, jobs, *options, prefix=()):
        """Starts `hardline submit` on jobs, dicts as its --jobs takes them; "from" is SENDER where it is not given.

        prefix   a command that runs it: ["setpriv", ...]
        """
        self.submissions += 1
        base = f"{self.name}-submit{self.submissions}"
        jobs_path = self.lab.write(base + ".jobs", "".join(json.dumps({"from": SENDER, **job}) + "\n" for job in jobs))
        results_path = self.lab.path(base + ".json")
        with open(results_path, "w") as out:
            process = self.lab.start([*prefix, self.program("hardline"), "submit", "--socket", self.feed_socket, "--json",
                                      "--jobs", jobs_path, *options], name=base, stdout=out)
        return Submission(process, results_path)

    def submit(self, jobs, *options, timeout_s=90):
        """Submits jobs, waits for all results and returns them, in the order of jobs and recipients."""
        submission = self.start_submit(jobs, *options)
        return submission.wait(timeout_s)


def find_program(name):
    """Where the build has it."""
    for folder in ("engine", "engine/cli", "bench", ""):
        path = os.path.join(hl.BUILD, folder, name)
        if os.access(path, os.X_OK):
            return path
    sys.exit(f"{name} is not built in {hl.BUILD}: run ninja there")
