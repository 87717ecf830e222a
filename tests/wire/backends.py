"""hardlined and crypto.backend: what is there is used, what is not is a warning or, with backend-require, no start.

usage: backends.py HARDLINED      (net_null: no network)
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ.get("HARDLINE_SOURCE", "."), "tests", "lib"))
from tap import done, ok  # noqa: E402

DAEMON = os.path.abspath(sys.argv[1])
CONFIG = """port = {{ device = "net_null0"; rx-descriptors = 256; tx-descriptors = 256; }};
net = {{ addresses = ["192.0.2.10/24"]; gateway = "192.0.2.1"; }};
cores = {{ cpus = 1; idle = "sleep"; }};
memory = {{ huge = "no"; }};
limits = {{ connections = 64; }};
smtp = {{ helo-name = "mta.example"; }};
crypto = {{ backend = "{backend}"; backend-require = {require}; engine = "{engine}"; }};
feed = {{ socket = ""; }};
run = {{ user = ""; admin-socket = ""; drain-s = 1; }};
"""
USED = re.compile(r"public-key work in batches: (.*)")


def run(backend, require, engine=""):
    """What hardlined says until it says who computes, or ends; and its exit status where it ended by itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(backend=backend, require="true" if require else "false", engine=engine))
        out_path = os.path.join(folder, "out")
        with open(out_path, "w", encoding="utf-8") as out:
            process = subprocess.Popen([DAEMON, "-c", path], stdout=out, stderr=out)
        until = time.monotonic() + 60
        said = ""
        while process.poll() is None and time.monotonic() < until and not USED.search(said):
            time.sleep(0.1)
            with open(out_path, encoding="utf-8") as file:
                said = file.read()
        time.sleep(0.3)
        status = process.poll()
        if status is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        with open(out_path, encoding="utf-8") as file:
            return file.read(), status


def used(said):
    found = USED.search(said)
    return found.group(1) if found else ""


for require in (False, True):
    said, status = run("cryptodev:crypto_openssl", require)
    ok(used(said).startswith("cryptodev crypto_openssl, then "), f"a_cryptodev_is_used_{require}", said)
    said, status = run("libcrypto", require)
    ok(used(said) == "libcrypto", f"libcrypto_alone_{require}", said)
for backend, told in (("engine:no-such-engine", 'OpenSSL engine "no-such-engine" is not there'),
                      ("cryptodev:crypto_nothing", "crypto device crypto_nothing")):
    said, status = run(backend, False)
    ok(used(said) and "warning" in said and told in said, f"a_warning_{backend}", said)
    said, status = run(backend, True)
    ok(status not in (None, 0) and told in said and not used(said), f"no_start_{backend}", said)
said, status = run("auto", False)
ok(used(said) and "crypto.backend" not in said, "auto_finds_somebody", said)
said, status = run("auto", False, "no-such-engine")
ok(used(said) and "warning" in said and 'OpenSSL engine "no-such-engine" is not there' in said, "a_warning_for_the_sessions_engine", said)
said, status = run("auto", True, "no-such-engine")
ok(status not in (None, 0) and 'OpenSSL engine "no-such-engine" is not there' in said, "no_start_without_the_sessions_engine", said)
done()
