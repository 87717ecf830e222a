"""hardlined from outside, without a device: options, --check, --settings, and what it says when it cannot start."""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ.get("HARDLINE_SOURCE", "."), "tests", "lib"))
from tap import done, equal, ok  # noqa: E402

DAEMON = os.path.abspath(sys.argv[1])
GOOD = """port = { device = "net_ring0"; };
net = { addresses = ["192.0.2.10/24"]; };
smtp = { helo-name = "out.example.com"; };
run = { user = ""; };
"""


def hardlined(*args):
    return subprocess.run([DAEMON, *args], capture_output=True, text=True, timeout=60)


def check(folder, text, *args):
    path = os.path.join(folder, "x.conf")
    with open(path, "w") as conf:
        conf.write(text)
    return path, hardlined("-c", path, "--check", *args)


def test_options():
    ok(re.fullmatch(r"hardlined \d+\.\d+\.\d+\n", hardlined("--version").stdout), "version_is_printed")
    out = hardlined("--help")
    ok(out.returncode == 0 and out.stdout.startswith("usage: hardlined -c FILE"), "help_is_printed", out)
    for args in (["--bananas"], ["stray"], ["--set"]):
        out = hardlined(*args)
        ok(out.returncode == 64 and "see hardlined --help" in out.stderr, f"wrong_usage_{args[0].strip('-')}", out)
    out = hardlined(*["--set=a.b=1"] * 65)
    ok(out.returncode == 64 and "more than 64 settings" in out.stderr, "too_many_settings", out)
    out = hardlined("--settings")
    ok(out.returncode == 0 and "limits.connections = 4096\n    open at once, per core; 1 to 1048576\n" in out.stdout,
       "settings_are_explained", out)


def test_check(folder):
    path, out = check(folder, GOOD)
    equal((out.returncode, out.stdout, out.stderr), (0, f"{path}: good\n", ""), "a_good_file_is_good")
    path, out = check(folder, GOOD + "bananas = 1;\nlimits = { recipients = 0;\n conections = 3; };\n")
    equal(out.returncode, 78, "a_bad_file_is_a_configuration_error")
    equal(out.stderr.splitlines()[1:],
          [f"{path}:6: limits.recipients: 0 is out of range: allowed are 1 to 1024",
           f"{path}:7: limits.conections: unknown key: did you mean connections?"], "all_mistakes_are_told")
    path, out = check(folder, GOOD + "tls = ( { match = \"*\"; ca-file = \"/no/such.pem\"; } );\n")
    equal((out.returncode, out.stderr), (78, "tls[0].ca-file: /no/such.pem cannot be read: No such file or directory\n"),
          "what_the_machine_lacks_is_told")
    not_a_ca = os.path.join(folder, "not-a-ca.pem")
    with open(not_a_ca, "w") as pem:
        pem.write("hello\n")
    path, out = check(folder, GOOD + f"tls = ( {{ match = \"*\"; ca-file = \"{not_a_ca}\"; }} );\n")
    ok(out.returncode == 78 and out.stderr.startswith("tls[0] *: ") and not_a_ca in out.stderr, "trust_anchors_are_loaded", out)
    path, out = check(folder, GOOD, "--idle=doze", "--no-huge", "--port", "net_x", "--foreground")
    equal(out.stderr, "--set cores.idle=doze: cores.idle: \"doze\" is not known: allowed are \"poll\", \"sleep\"\n",
          "short_options_are_settings")
    out = hardlined("-c", "/no/such/file", "--check")
    equal((out.returncode, out.stderr), (78, "/no/such/file: cannot be opened: No such file or directory\n"),
          "a_missing_file_is_told")


def test_start(folder):
    path = os.path.join(folder, "x.conf")
    with open(path, "w") as conf:
        conf.write(GOOD + "bananas = 1;\n")
    out = hardlined("-c", path)
    ok(out.returncode == 78 and f"hardlined: {path}:5: bananas: unknown key" in out.stderr, "a_bad_file_does_not_start", out)


with tempfile.TemporaryDirectory() as scratch:
    test_options()
    test_check(scratch)
    test_start(scratch)
done()
