"""What hardlined says to a wrong configuration and to a machine that lacks something: the thing, the fault, the remedy."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import hl
from engine import Engine

MX = "mx1.example.test"
OK, USAGE, MACHINE, RIGHTS, CONFIG = 0, 64, 69, 77, 78  # exit status


class Play:
    def __init__(self):
        self.lab = hl.Lab()
        self.net = hl.Net(self.lab, hosts=1)
        self.ca = hl.Ca(self.lab)
        self.count = 0

    def engine(self, settings=None, rules=(), **options):
        self.count += 1
        return Engine(self.lab, self.net, self.ca, name=f"engine{self.count}", start=False, rules=rules, settings=settings,
                      routes={"example.test": (MX, self.net.ip4(1))}, **options)

    def ends(self, engine, status, what, *patterns, options=()):
        """Starts it and reports: it ends by itself with this status and says all of this."""
        process = engine.launch(*options)
        try:
            ended = process.wait(30)
        except hl.TimedOut:
            process.stop()
            ended = "not at all"
        said = process.log()
        missing = [p for p in patterns if not re.search(p, said)]
        hl.ok(ended == status and not missing, what, f"wanted status {status}, it was {ended}", f"not said: {missing}", said)


def line_of(engine, text):
    """FILE:LINE of the first line of the configuration that has the text, as a pattern."""
    with open(engine.config_path) as f:
        number = next(n for n, line in enumerate(f, 1) if text in line)
    return re.escape(f"{os.path.basename(engine.config_path)}:{number}: ")


def the_file(play):
    engine = play.engine()
    os.remove(engine.config_path)
    play.ends(engine, CONFIG, "no file: named", re.escape(engine.config_path))
    with open(engine.config_path, "w") as f:
        f.write("port = {\n  device = \"net_af_packet0,iface=hls0\n};\n")
    play.ends(engine, CONFIG, "syntax: file and line", re.escape(os.path.basename(engine.config_path)) + r":\d+: ")
    play.ends(engine, USAGE, "unknown option", "frobnicate|--help", options=["--frobnicate"])


def wrong_settings(play):
    def one(what, settings, *patterns, at=None, rules=()):
        engine = play.engine(settings, rules=rules)
        play.ends(engine, CONFIG, what, *patterns, *([line_of(engine, at)] if at else []))
    one("unknown key: file, line, key", {"limits": {"conections": 5}}, "conections", at="conections")
    one("unknown section: file, line, name", {"limitations": {"a": 5}}, "limitations", at="limitations")
    one("wrong type", {"limits": {"connections": "many"}}, "limits.connections", "number", at='"many"')
    one("out of range: the range is told", {"limits": {"connections": 0}}, "limits.connections", "1 to ", at="limits")
    one("not one of the choices: they are told", {"cores": {"idle": "doze"}}, "cores.idle", "poll", "sleep", at="doze")
    one("a level that sends in the clear is not known", {}, "level", "encrypt, verify,? (or )?secure|encrypt.*verify.*secure",
        rules=[{"match": "*", "level": "may"}], at='"may"')
    one("no port: what is wanted is told", {"port": {"device": ""}}, "port.device", "net_af_packet")
    one("fewer queues than cores: how to add one", {"cores": {"cpus": 2}}, "port.device", "qpairs=2", at="device")
    one("faults that are none", {"port": {"rx-faults": "drop=often"}}, "rx-faults", "drop=often", at="drop=often")


def the_machine(play):
    play.ends(play.engine(port="net_af_packet0,iface=nowhere0,qpairs=1"), MACHINE, "missing interface: named", "nowhere0")
    play.ends(play.engine(port="net_nonsense0"), MACHINE, "missing driver: named", "net_nonsense0")
    play.ends(play.engine(port="0000:7f:1f.7"), MACHINE, "missing NIC: named", "0000:7f:1f.7")
    play.ends(play.engine({"memory": {"huge": "require", "megabytes": 900000}}), MACHINE,
              "too few hugepages: how many there are, what to do", "900000 MiB", "vm.nr_hugepages")
    play.ends(play.engine({"run": {"user": "nobody-like-that"}}), MACHINE, "missing user: named", "run.user|nobody-like-that")
    play.ends(play.engine({"feed": {"socket": play.lab.path("no", "where", "feed.sock")}}), MACHINE,
              "missing folder of a socket: named", "no/where/feed.sock|no/where")
    play.ends(play.engine({"crypto": {"ca-file": "/nowhere/ca.pem"}}), MACHINE, "missing CA file: named", "/nowhere/ca.pem")


def not_root(play):
    engine = play.engine({"run": {"user": ""}})
    os.chown(engine.run_folder, 65534, 65534)
    process = play.lab.start(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *engine.command("--no-huge")],
                             name="not-root", ns=play.net.sender)
    status = process.wait(30)
    hl.ok(status == RIGHTS and re.search("root|permitted|capabilit", process.log()), "not root: says so",
          status, process.log())


def a_second_engine(play):
    first, second = play.engine(), play.engine()
    first.start()
    second.feed_socket = first.feed_socket
    second.config["feed"]["socket"] = first.feed_socket
    second.write_config()
    play.ends(second, MACHINE, "a second engine on the same socket: named", re.escape(first.feed_socket))
    hl.ok(first.ask("ping").get("ok"), "and the first goes on")
    hl.equal(first.stop(), OK, "which ends in order")
    hl.ok(not os.path.exists(first.feed_socket) and not os.path.exists(first.admin_socket), "and takes its sockets along",
          os.listdir(first.run_folder))


def check_only(play):
    check = play.engine({"limits": {"conections": 5}, "cores": {"idle": "doze"}})
    play.ends(check, CONFIG, "--check: says everything that is wrong", "conections", "doze", options=["--check"])
    good = play.engine()
    play.ends(good, OK, "--check: a good one is good", "good", options=["--check"])
    hl.ok(not os.path.exists(good.feed_socket), "--check: starts nothing")
    play.ends(good, CONFIG, "--set: checked like the file", "limits.connections", options=["--set", "limits.connections=0"])


def the_readme(play):
    """The first configuration that README.md shows is one."""
    with open(os.path.join(hl.TOP, "README.md")) as f:
        lines = f.read().split("## A first configuration")[1].split("Then `hardlined")[0].splitlines()
    engine = play.engine()
    play.lab.write(os.path.basename(engine.config_path), "\n".join(line[4:] for line in lines if line.startswith("    ")))
    play.ends(engine, OK, "README.md: its configuration is good", "good",
              options=["--check", "--set", "run.user=nobody", "--set", "cores.cpus=1"])


def main():
    play = Play()
    for part in (the_file, wrong_settings, the_machine, not_root, a_second_engine, check_only, the_readme):
        part(play)
    hl.done()


main()
