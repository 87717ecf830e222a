"""The examples compile as an outsider compiles them, with the installed header and library alone, and do what they say."""
import os
import subprocess

from ringlab import RingLab, hl

HERE = os.path.dirname(os.path.realpath(__file__))
COMPILERS = {"C99": ["gcc", "-std=c99", "-D_POSIX_C_SOURCE=200809L"], "C++": ["g++", "-std=c++11", "-x", "c++", "-fpermissive", "-w"]}


def compiled(lab, name, language):
    """The program's path; None when it does not compile."""
    include, out = lab.lab.path("include", "hardline"), lab.lab.path(f"{name}-{language}")
    if not os.path.exists(include):
        os.makedirs(include)
        os.symlink(os.path.join(hl.TOP, "engine/ring/feed.h"), os.path.join(include, "feed.h"))
    libraries = os.path.join(hl.BUILD, "engine/ring")
    strict = [] if language == "C++" else ["-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-pedantic", "-Werror"]
    result = subprocess.run([*COMPILERS[language], *strict, "-I" + os.path.dirname(include), os.path.join(HERE, name + ".c"),
                             "-L" + libraries, "-Wl,-rpath," + libraries, "-lhardline-feed", "-o", out],
                            capture_output=True, text=True)
    hl.ok(result.returncode == 0, f"{name} compiles as {language}", result.stderr)
    return out if result.returncode == 0 else None


def said(program, *args):
    result = subprocess.run([program, *args], capture_output=True, text=True, timeout=60)
    return result.returncode, result.stdout + result.stderr


def main():
    lab = RingLab("--delay-us", "500", "--arena", str(4 << 20))
    lab.start_engine()
    message = lab.lab.write("m.eml", "Subject: x\n\nhello\n")
    for language in COMPILERS:
        one, many = compiled(lab, "example_submit", language), compiled(lab, "example_loop", language)
        if not one or not many:
            continue
        status, text = said(one, lab.socket, "a@example.com", message, "bob@one.example", "fail@two.example", "c@one.example")
        lines = sorted(text.splitlines())
        hl.ok(status == 0 and lines == [
            "bob@one.example: delivered: 2.0.0 queued as 4711 (mx.example.org, TLS_AES_256_GCM_SHA384)",
            "c@one.example: delivered: 2.0.0 queued as 4711 (mx.example.org, TLS_AES_256_GCM_SHA384)",
            "fail@two.example: failed: no such user (mx.example.org, TLS_AES_256_GCM_SHA384)"],
            f"example_submit in {language}: three results", text)
        hl.equal(said(many, lab.socket, "3000"), (0, "3000 delivered, 0 deferred, 0 failed, 0 in doubt, 0 not sent\n"),
                 f"example_loop in {language}: all of 3000")
        hl.ok(said(one, lab.socket, "a b@example.com", message, "x@y.example")[1] ==
              "the sender's address has a space or a control character in it\n", f"example_submit in {language}: a clear error")
    needed = subprocess.run(["readelf", "-d", os.path.join(hl.BUILD, "engine/ring/libhardline-feed.so")],
                            capture_output=True, text=True).stdout
    libraries = [line.split("[")[1].rstrip("]") for line in needed.splitlines() if "(NEEDED)" in line]
    hl.ok(all(name.startswith(("libc.", "ld-linux", "libasan", "libubsan")) for name in libraries) and libraries,
          "libhardline-feed.so needs libc alone", libraries)
    names = subprocess.run(["nm", "-D", "--defined-only", os.path.join(hl.BUILD, "engine/ring/libhardline-feed.so")],
                           capture_output=True, text=True).stdout.split()[2::3]
    with open(os.path.join(hl.TOP, "engine/ring/feed.h")) as f:
        header = f.read()
    hl.ok(names and all(n.split("@")[0] == "HARDLINE_FEED_2" or (n.startswith("hl_") and n.split("@")[0] + "(" in header)
                        for n in names), "and shows what feed.h declares, nothing else", names)
    hl.equal(lab.stop_engine(), 0, "the engine drains")
    hl.done()


main()
