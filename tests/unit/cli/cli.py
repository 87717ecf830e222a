"""The hardline tool from outside: commands, help, a made-up engine on the admin socket, the doctor."""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.environ.get("HARDLINE_SOURCE", "."), "tests", "lib"))
from tap import done, equal, ok  # noqa: E402

TOOL = os.path.abspath(sys.argv[1])
COMMANDS = ["submit", "status", "capture", "reload", "drain", "stop", "ping", "doctor", "version", "help"]


def hardline(*args, timeout=30):
    return subprocess.run([TOOL, *args], capture_output=True, text=True, timeout=timeout)


class Engine:
    """Serves an admin socket: answers[command] is a line, or a function that gives one."""

    def __init__(self, folder, answers):
        self.path = os.path.join(folder, "admin.sock")
        self.answers = answers
        self.asked = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    def talk(self, client):
        for line in client.makefile():
            command = json.loads(line)["command"]
            self.asked.append(command)
            answer = self.answers[command]
            text = answer() if callable(answer) else answer
            if text is None:
                break
            try:
                client.sendall(text.encode())
            except OSError:
                break
        client.close()

    def close(self):
        self.listener.close()
        os.unlink(self.path)


def status(jobs, cores=1, dropped=0, feeds=()):
    """An answer as engine/control/admin_json.c gives it."""
    core = [{"core": i, "cpu": i, "connections": 1, "jobs": 2, "age_ms": 10, "destinations_limited": 3 * i,
             "pools": [{"name": "connections", "capacity": 4096, "in_use": 3, "in_use_max": 17, "exhausted": 2 * i}],
             "counters": {"core_jobs": jobs // cores, "tcp_opened": 0, "of_the_future": 5}} for i in range(cores)]
    total = {"core_jobs": jobs, "tcp_opened": 0, "of_the_future": 5 * cores}
    return json.dumps({"ok": True, "version": "9.8.7", "state": "draining", "uptime_s": 93784.5, "config": "/etc/x.conf",
                       "port": "net_x", "eal": "DPDK 24", "accelerator": "", "huge": "", "log_dropped": dropped,
                       "policy": {"generation": 4, "rules": 2, "routes": 1}, "cores": core, "total": total,
                       "feeds": list(feeds)}) + "\n"


def test_commands():
    out = hardline()
    ok(out.returncode == 64 and "usage: hardline COMMAND" in out.stderr, "no_command_is_wrong_usage", out)
    out = hardline("--help")
    ok(out.returncode == 0 and all(re.search(rf"^  {c} ", out.stdout, re.M) for c in COMMANDS), "help_names_all_commands", out)
    out = hardline("subit")
    equal(out.returncode, 64, "unknown_command_is_wrong_usage")
    equal(out.stderr, 'hardline: there is no command "subit": known are ' + ", ".join(COMMANDS) + "\n",
          "unknown_command_names_the_known_ones")
    for command in COMMANDS:
        out = hardline(command, "--help")
        ok(out.returncode == 0 and out.stdout.startswith("usage: hardline"), f"{command}_has_help", out)
        again = hardline("help", command)
        ok(again.returncode == 0 and again.stdout == out.stdout, f"help_{command}_is_the_same", again)
    ok(re.fullmatch(r"hardline \d+\.\d+\.\d+\n", hardline("--version").stdout), "version_is_printed")
    for command in ["status", "doctor", "ping"]:
        out = hardline(command, "nonsense")
        ok(out.returncode == 64 and 'what is "nonsense"?' in out.stderr, f"{command}_refuses_stray_words", out)
        out = hardline(command, "--nonsense")
        equal((out.returncode, out.stderr), (64, f"hardline {command}: unrecognized option '--nonsense'\n"),
              f"{command}_refuses_unknown_options")


def test_status(folder):
    engine = Engine(folder, {"status": status(1000, cores=2, dropped=7, feeds=[
        {"name": "mta", "uid": 8, "pid": 99, "jobs": 5, "attached_s": 61, "broken": False}])})
    out = hardline("status", "--socket", engine.path)
    ok(out.returncode == 0 and out.stderr == "", "status_is_shown", out)
    for piece in ["hardlined 9.8.7   draining   up 1 d 2 h", "generation 4, 2 rules, 1 routes", "log          7 lines dropped",
                  "mta                      uid 8      pid 99       5 jobs   attached 1 min 1 s",
                  "core 0   connections            3 of 4096      most 17", "full 2 times",
                  "core 1   turned away by 3 destinations"]:
        ok(piece in out.stdout, f"status_has_{piece.split()[0]}_{piece.split()[-1]}", out.stdout)
    ok("core 0   turned away" not in out.stdout, "nobody_turned_away_is_not_told", out.stdout)
    ok(re.search(r"^core_jobs +500 +500 +1000  jobs taken from the feed$", out.stdout, re.M), "status_adds_cores_up", out.stdout)
    ok("tcp_opened" not in out.stdout, "zero_counters_are_left_out")
    ok(re.search(r"^of_the_future +5 +5 +10", out.stdout, re.M), "counters_of_other_versions_are_shown")
    ok("tcp_opened" in hardline("status", "--all", "--socket", engine.path).stdout, "all_shows_zero_counters")
    out = hardline("status", "--json", "--socket", engine.path)
    equal(out.stdout, engine.answers["status"], "json_is_the_engines_own_answer")
    engine.close()


def test_watch(folder):
    jobs = iter([0, 100, 200])

    def next_status():
        value = next(jobs, None)
        return None if value is None else status(value)

    engine = Engine(folder, {"status": next_status})
    out = hardline("status", "--watch=0.2", "--socket", engine.path)
    rates = [float(r) for r in re.findall(r"^core_jobs +\d+ +(\d+\.\d)  ", out.stdout, re.M)]
    ok(len(rates) == 2 and all(200 < r < 520 for r in rates), "watch_shows_rates", out.stdout)
    ok(out.returncode == 69 and "has closed the connection" in out.stderr, "watch_ends_with_the_engine", out)
    equal(hardline("status", "--watch=0").returncode, 64, "watch_refuses_no_interval")
    engine.close()


def test_orders(folder):
    engine = Engine(folder, {"reload": '{"ok":false,"error":"x.conf:3: port.mtu: no"}\n', "drain": '{"ok":true}\n',
                             "stop": '{"ok":true}\n', "ping": "I am a printer\n"})
    out = hardline("reload", "--socket", engine.path)
    equal((out.returncode, out.stderr), (69, "hardline reload: x.conf:3: port.mtu: no\n"), "refusal_is_in_the_engines_words")
    equal(hardline("drain", "--socket", engine.path).stdout, "draining\n", "drain_is_sent")
    equal(hardline("stop", "--socket", engine.path).stdout, "stopping\n", "stop_is_sent")
    out = hardline("ping", "--socket", engine.path)
    ok(out.returncode == 69 and "another program serves the socket" in out.stderr, "other_servers_are_told", out)
    equal(engine.asked, ["reload", "drain", "stop", "ping"], "each_order_is_one_question")
    engine.close()


def test_no_engine(folder):
    path = os.path.join(folder, "admin.sock")
    out = hardline("status", "--socket", path)
    ok(out.returncode == 69 and "there is no socket" in out.stderr and "hardlined does not run" in out.stderr,
       "missing_socket_is_explained", out)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(path)
    dead.close()
    out = hardline("status", "--socket", path)
    ok(out.returncode == 69 and "nobody answers on" in out.stderr, "dead_socket_is_explained", out)
    out = hardline("status", "--socket", "/" + "x" * 200)
    ok(out.returncode == 69 and "the path is longer than 107 bytes" in out.stderr, "long_path_is_explained", out)
    os.unlink(path)


def test_doctor(folder):
    out = hardline("doctor", "--json", "--socket", os.path.join(folder, "none"))
    report = json.loads(out.stdout)
    states = [f["state"] for f in report["findings"]]
    equal(out.returncode, 1 if report["missing"] else 0, "doctors_exit_status_tells_whether_something_is_missing")
    equal([report[s] for s in ("ok", "warn", "missing")], [states.count(s) for s in ("ok", "warn", "missing")],
          "doctor_counts_its_findings")
    ok(all(f["found"] for f in report["findings"]), "every_finding_says_what_was_found")
    ok(all(bool(f["remedy"]) == (f["state"] != "ok") for f in report["findings"]), "every_fault_has_a_remedy", report)
    wanted = {"cpus", "huge pages", "memory", "memory locking", "iommu", "vfio", "qat device", "openssl", "crypto_mb",
              "ipsec_mb", "hardlined"}
    ok(wanted <= {f["what"] for f in report["findings"]}, "doctor_looks_at_everything", report)
    text = hardline("doctor", "--socket", os.path.join(folder, "none"))
    ok(re.search(r"\d+ ok, \d+ warnings, \d+ missing\n$", text.stdout), "doctor_sums_up", text.stdout)
    ok("\033" not in text.stdout, "doctor_has_no_colours_in_a_pipe")


def test_doctor_and_engine(folder):
    engine = Engine(folder, {"status": status(1)})
    report = json.loads(hardline("doctor", "--json", "--socket", engine.path).stdout)
    found = {f["what"]: f["found"] for f in report["findings"]}
    equal(found["hardlined"], "version 9.8.7, draining, with /etc/x.conf", "doctor_asks_a_running_engine")
    equal(found["port"], "net_x", "doctor_shows_its_port")
    engine.close()


def test_doctor_and_configuration(folder):
    bad = os.path.join(folder, "bad.conf")
    with open(bad, "w") as conf:
        conf.write('port = { device = "net_x"; };\nbananas = 1;\nlimits = { connections = 0; };\n')
    out = hardline("doctor", "--json", "-c", bad, "--socket", os.path.join(folder, "none"))
    found = [f["found"] for f in json.loads(out.stdout)["findings"] if f["what"] == "configuration"]
    ok(out.returncode == 1 and len(found) == 2 and found[0].startswith(f"{bad}:2: bananas: unknown key") and
       found[1].startswith(f"{bad}:3: limits.connections: 0 is out of range"), "doctor_checks_a_configuration", out.stdout)


with tempfile.TemporaryDirectory() as scratch:
    test_commands()
    test_status(scratch)
    test_watch(scratch)
    test_orders(scratch)
    test_no_engine(scratch)
    test_doctor(scratch)
    test_doctor_and_engine(scratch)
    test_doctor_and_configuration(scratch)
done()
