"""`meson install` gives what a packager expects, and a program builds against it with pkg-config alone."""
import glob
import os
import tempfile

from sources import BUILD, TOP, run, tap, tool_is_content

WANTED = [
    "usr/local/bin/hardline", "usr/local/bin/hardline-bench", "usr/local/sbin/hardlined",
    "usr/local/include/hardline/feed.h", "usr/local/include/hardline/hardline.h",
    "**/libhardline.so", "**/libhardline.so.[0-9]*", "**/libhardline-feed.so", "**/libhardline-feed.so.[0-9]*",
    "**/pkgconfig/libhardline.pc", "**/pkgconfig/libhardline-feed.pc",
    "**/systemd/system/hardlined.service", "**/sysusers.d/hardline.conf", "**/hardline/hardline.conf*",
]
LIBRARIES = [("libhardline-feed", "hardline/feed.h"), ("libhardline", "hardline/hardline.h")]


def main():
    if not os.path.exists(os.path.join(TOP, "engine", "meson.build")):
        tap.skip("meson install", "the products do not exist yet")
        tap.done()
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        result = run("meson", "install", "--no-rebuild", "-C", BUILD, "--destdir", root)
        if tool_is_content(result, "meson install"):
            for pattern in WANTED:
                tap.ok(glob.glob(os.path.join(root, pattern), recursive=True), f"it installs {pattern}", *tree(root))
            for library, header in LIBRARIES:
                build_against(root, library, header)
            check_unit(root)
    tap.done()


def tree(root):
    return sorted(os.path.relpath(os.path.join(folder, f), root) for folder, _, found in os.walk(root) for f in found)


def build_against(root, library, header):
    where = ":".join(glob.glob(os.path.join(root, "**/pkgconfig"), recursive=True))
    env = {**os.environ, "PKG_CONFIG_PATH": where, "PKG_CONFIG_SYSROOT_DIR": root}
    flags = run("pkg-config", "--cflags", "--libs", library, env=env)
    source = os.path.join(root, "user.c")
    with open(source, "w") as f:
        f.write(f"#include <{header}>\nint main(void) {{ return 0; }}\n")
    result = run("gcc", source, "-Wl,--no-as-needed", *flags.stdout.split(), "-o", os.path.join(root, "user"))
    tool_is_content(flags if flags.returncode else result, f"a program builds with pkg-config {library}")


def check_unit(root):
    unit = glob.glob(os.path.join(root, "**/hardlined.service"), recursive=True)
    text = open(unit[0]).read() if unit else ""
    tap.ok("@" not in text.replace("@system-service", "") and "ExecStart=/usr/local/sbin/hardlined" in text,
           "the systemd unit names the installed daemon", *text.splitlines())


main()
