"""cppcheck has nothing to say. A false alarm is answered in the source: // cppcheck-suppress ID ; why"""
import os

from sources import BUILD, files, planted, run, tap, tool_is_content

SUPPRESSED = [
    "missingIncludeSystem",      # it reads our headers, not the system's
    "checkersReport",
    "normalCheckLevelMaxBranches",
    "unusedStructMember",        # layouts of wire formats
    "constParameterCallback",    # cmocka's and tables' signatures
    "constParameterPointer",
    "constVariablePointer",
    "readdirCalled",             # glibc's readdir is safe for a stream of one's own
    "leakReturnValNotUsed",      # takes mmap over a given address for an allocation
    "unmatchedSuppression",
]


def cppcheck(sources):
    cache = os.path.join(BUILD, "cppcheck")
    os.makedirs(cache, exist_ok=True)
    return run("cppcheck", "--enable=warning,performance,portability", "--inline-suppr", "--error-exitcode=1",
               "--std=c17", "--language=c", "--library=posix", "--library=gnu", "--quiet", "-I.", f"-j{os.cpu_count()}",
               "-D__x86_64__", "-D_GNU_SOURCE", "-U__cplusplus", "--template=gcc", "--cppcheck-build-dir=" + cache,
               *(f"--suppress={s}" for s in SUPPRESSED), *sources)


def main():
    sources = [f for f in files(".c") if not f.startswith("tests/")]
    if sources:
        tool_is_content(cppcheck(sources), f"cppcheck over {len(sources)} files")
    with planted("int main(void)\n{\n    char a[2];\n    a[2] = 0;\n    return a[2];\n}\n") as fault:
        result = cppcheck([fault])
        tap.ok(result.returncode == 1 and "arrayIndexOutOfBounds" in result.stderr, "cppcheck notices a planted fault", result)
    tap.done()


main()
