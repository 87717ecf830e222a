"""Whose malloc the daemon takes: the dynamic linker's own account of it. One that sanitizers bring is as good."""
import os
import re
import subprocess

HARDLINED = os.path.join(os.environ["HARDLINE_BUILD"], "engine", "hardlined")
GOOD = ("libjemalloc", "libasan", "libtsan")


def malloc_of(binding_file):
    """The library that symbol `malloc' of this file is bound to; None: it is not bound, as it asks for none."""
    told = subprocess.run([HARDLINED, "--help"], env=os.environ | {"LD_DEBUG": "bindings", "LD_BIND_NOW": "1"},
                          capture_output=True, text=True, timeout=60).stderr
    found = re.findall(r"binding file \S*" + binding_file + r"\S* .* to \S*/(\S+) .*: normal symbol `malloc'", told)
    return found[-1] if found else None


def conf_is_ours():
    """Whether jemalloc reads its options from the daemon."""
    told = subprocess.run([HARDLINED, "--help"], env=os.environ | {"LD_DEBUG": "bindings"}, capture_output=True, text=True,
                          timeout=60).stderr
    return re.search(r"binding file \S*libjemalloc\S* .* to \S*hardlined .*: normal symbol `malloc_conf'", told)


print("1..3")
for number, name in enumerate(("libhardline", "libcrypto"), 1):
    library = malloc_of(name)
    good = library and library.startswith(GOOD)
    print(f"{'ok' if good else 'not ok'} {number} - {name} takes its memory from jemalloc")
    if not good:
        print(f"# from {library}")
told = "libjemalloc" not in (malloc_of("libcrypto") or "") or conf_is_ours()
print(f"{'ok' if told else 'not ok'} 3 - jemalloc, where it is the allocator, is told of huge pages by the daemon")
