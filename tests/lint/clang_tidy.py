"""clang-tidy, with checks that find faults and none of taste. A false alarm is answered with // NOLINT(check): why"""
import concurrent.futures
import json
import os
import re

from sources import BUILD, TOP, no_faults, planted, run, tap

CHECKS = [
    "bugprone-assert-side-effect", "bugprone-bool-pointer-implicit-conversion", "bugprone-branch-clone",
    "bugprone-copy-constructor-init", "bugprone-inc-dec-in-conditions", "bugprone-infinite-loop",
    "bugprone-integer-division", "bugprone-macro-repeated-side-effects", "bugprone-misplaced-widening-cast",
    "bugprone-multi-level-implicit-pointer-conversion",
    "bugprone-posix-return", "bugprone-redundant-branch-condition", "bugprone-signal-handler",
    "bugprone-sizeof-expression", "bugprone-spuriously-wake-up-functions", "bugprone-string-literal-with-embedded-nul",
    "bugprone-suspicious-enum-usage", "bugprone-suspicious-memory-comparison", "bugprone-suspicious-memset-usage",
    "bugprone-suspicious-missing-comma", "bugprone-suspicious-realloc-usage", "bugprone-suspicious-semicolon",
    "bugprone-suspicious-string-compare", "bugprone-swapped-arguments", "bugprone-terminating-continue",
    "bugprone-too-small-loop-variable", "bugprone-unused-return-value", "cert-err33-c",
    "misc-redundant-expression", "misc-unused-parameters", "readability-duplicate-include",
    "readability-misleading-indentation", "readability-redundant-declaration",
    "clang-analyzer-core.*", "clang-analyzer-deadcode.*", "clang-analyzer-unix.*", "clang-analyzer-security.FloatLoopCounter",
]
CONFIG = json.dumps({
    "Checks": "-*," + ",".join(CHECKS),
    "HeaderFilterRegex": r".*/(engine|drivers|crypto|bench)/.*\.h$",
    "WarningsAsErrors": "*",
    "CheckOptions": {
        "cert-err33-c.CheckedFunctions": "^::calloc$;^::malloc$;^::realloc$;^::strdup$;^::fopen$;^::fread$;^::fseek$;"
                                         "^::strtol$;^::strtoul$;^::mktime$;^::aligned_alloc$",
        "misc-unused-parameters.StrictMode": "false",
    },
})
# Without it the analyzer takes ten times as long, for paths that nobody walks.
ANALYZER_LIMIT = [f"--extra-arg={a}" for a in ("-Xclang", "-analyzer-config", "-Xclang", "max-nodes=20000")]


def sources():
    with open(os.path.join(BUILD, "compile_commands.json")) as f:
        commands = json.load(f)
    return sorted({os.path.realpath(os.path.join(c["directory"], c["file"])) for c in commands
                   if "/tests/" not in os.path.realpath(os.path.join(c["directory"], c["file"]))[len(TOP):]})


def faults_of(source):
    result = run("clang-tidy", "-p", BUILD, "--quiet", "--config=" + CONFIG, *ANALYZER_LIMIT, source)
    if result.returncode == 0:
        return []
    said = [line.replace(TOP + "/", "").removeprefix("../") for line in result.stdout.splitlines()
            if re.search(r": (error|warning):", line)]
    return said or (result.stdout + result.stderr).splitlines()


def main():
    checked = sources()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        faults = [fault for found in pool.map(faults_of, checked) for fault in found]
    if checked:
        no_faults(sorted(set(faults)), f"clang-tidy over {len(checked)} files")
    with planted("int main(void)\n{\n    int *p = 0;\n    return *p;\n}\n") as fault:
        found = faults_of(fault)
        tap.ok("NullDereference" in "".join(found), "clang-tidy notices a planted fault", *found)
    tap.done()


main()
