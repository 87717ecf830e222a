"""Every C file is as clang-format leaves it: scripts/env clang-format -i FILE mends one that is not."""
import re

from sources import TOP, files, no_faults, planted, run, tap


def faults_of(sources):
    """One line a file: where its first difference is."""
    result = run("clang-format", "--dry-run", "-Werror", f"--style=file:{TOP}/.clang-format", *sources)
    first = {}
    for line in result.stderr.splitlines():
        if found := re.match(r"(.+?):(\d+):\d+: error:", line):
            first.setdefault(found[1], f"{found[1]}:{found[2]}: is not as clang-format leaves it")
    return list(first.values()) or (result.stderr.splitlines() if result.returncode else [])


def main():
    sources = files(".c", ".h")
    no_faults(faults_of(sources), f"clang-format over {len(sources)} files")
    with planted("int  main( void ){return 0;}\n") as fault:
        tap.ok(faults_of([fault]), "clang-format notices a planted fault")
    tap.done()


main()
