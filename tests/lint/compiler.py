"""The compiler has nothing to say about any file, whatever was built before: each is compiled anew with -Werror."""
import concurrent.futures
import json
import os
import re
import shlex

from sources import BUILD, TOP, no_faults, run, tap


def faults_of(command):
    words, kept = iter(shlex.split(command["command"])), []
    for word in words:
        if word in ("-o", "-MQ", "-MF"):
            next(words)
        elif word not in ("-MD", "-fdiagnostics-color=always"):
            kept.append(word)
    result = run(*kept, "-Werror", "-o", os.devnull, cwd=command["directory"])
    if result.returncode == 0:
        return []
    said = [line.replace(TOP + "/", "").removeprefix("../") for line in result.stderr.splitlines()
            if re.search(r": (error|warning|fatal error):", line)]
    return said or result.stderr.splitlines()


def main():
    with open(os.path.join(BUILD, "compile_commands.json")) as f:
        commands = json.load(f)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        faults = [fault for found in pool.map(faults_of, commands) for fault in found]
    if commands:
        no_faults(sorted(set(faults)), f"{len(commands)} files compile without a warning")
    else:
        tap.skip("files compile without a warning", "there are none")
    tap.done()


main()
