"""The house rules: what lies at the top, white space, paths, scripts that parse, a README that knows every folder."""
import os
import re
import stat

from sources import TOP, files, no_faults, read, run, tap

TOP_ENTRIES = {"engine", "drivers", "crypto", "bench", "tests", "scripts", "meson.build", "README.md", ".ci",
               ".clang-format", ".gitignore", "LICENSE"}
BINARY = (".bin", ".der", ".pcap", ".png")  # corpora and pictures
MACHINE_PATH = re.compile(rb"(?<![\w.$}])/(work|root)/")


def text_files():
    return [f for f in files() if not f.endswith(BINARY) and "/corpus/" not in f and b"\0" not in read(f)]


def numbered_lines(file):
    return enumerate(read(file).split(b"\n"), 1)


def scripts_of(shell):
    """Files whose first line calls an interpreter."""
    return [f for f in files() if re.match(rb"#!.*\b%s" % shell, read(f))]


def main():
    faults = sorted({f.split("/")[0] for f in files()} - TOP_ENTRIES)
    no_faults([f"{f}: may not lie at the top" for f in faults], "the top holds what it should and no more")

    texts = text_files()
    no_faults([f"{f}:{n}: ends in white space" for f in texts for n, line in numbered_lines(f)
               if line != line.rstrip(b" \t\r")], "no trailing white space")
    no_faults([f"{f}: has no newline at its end" for f in texts if read(f) and not read(f).endswith(b"\n")],
              "every file ends with a newline")
    no_faults([f"{f}:{n}: has a tab" for f in texts if f.endswith((".c", ".h", ".py", ".md", "meson.build"))
               for n, line in numbered_lines(f) if b"\t" in line], "no tabs")
    no_faults([f"{f}:{n}: names a path of one machine" for f in texts for n, line in numbered_lines(f)
               if MACHINE_PATH.search(line)], "no path of one machine")

    shell = scripts_of(b"(ba)?sh$") or scripts_of(b"(ba)?sh")
    no_faults([run("bash", "-n", f).stderr for f in shell if run("bash", "-n", f).returncode], "shell scripts parse")
    python = sorted(set(scripts_of(b"python3")) | set(files(".py")))
    no_faults([fault for f in python if (fault := python_fault(f))], "Python programs compile")
    no_faults([f"{f}: starts with #! and is not executable" for f in files() if read(f)[:3] == b"#!/"
               and not os.stat(os.path.join(TOP, f)).st_mode & stat.S_IXUSR], "scripts are executable")

    if os.path.exists(os.path.join(TOP, "README.md")):
        readme = read("README.md").decode()
        folders = sorted({f.split("/")[0] for f in files() if "/" in f} - {".ci"})
        no_faults([f"README.md: its map does not name {f}/" for f in folders if f"{f}/" not in readme],
                  "README.md names every folder at the top")
    else:
        tap.ok(False, "README.md names every folder at the top", "README.md does not exist: write it")
    tap.done()


def python_fault(file):
    try:
        compile(read(file), file, "exec")
    except SyntaxError as fault:
        return f"{file}:{fault.lineno}: {fault.msg}"
    return None


main()
