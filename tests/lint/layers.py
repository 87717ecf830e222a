"""The layers of engine/README.md hold, and scripts/check_layers notices when they do not."""
import os
import tempfile

from sources import TOP, run, tap, tool_is_content

TABLE = """# engine

## Layers

| layer | may include | vendor headers allowed |
|---|---|---|
| `engine/base` | nothing | |
| `drivers` | `engine/base` | `rte_` |
| `engine/tcp` | `engine/base` | |
| `engine/smtp` | `engine/base` | |
| `engine/net` | `engine/base` `drivers/port.h` | |
| `engine/core` | everything above | `rte_` in `eal*.c` |
| `engine` | everything above | |

## More
"""

# (what it is, file, text, what check_layers must say or None)
PLANTS = [
    ("own layer", "engine/tcp/a.c", '#include "engine/tcp/a.h"', None),
    ("a lower layer", "engine/tcp/a.c", '#include "engine/base/b.h"', None),
    ("free headers", "engine/tcp/a.c", "#include <stdint.h>\n#include <string.h>", None),
    ("the one header that is named", "engine/net/a.c", '#include "drivers/port.h"', None),
    ("everything above", "engine/core/a.h", '#include "engine/net/a.h"', None),
    ("a file that may", "engine/core/eal_x.c", "#include <rte_eal.h>", None),
    ("a folder within a layer", "drivers/deep/a.c", '#include "drivers/port.h"', None),
    ("a sibling", "engine/tcp/a.c", '\n#include "engine/smtp/a.h"',
     "engine/tcp/a.c:2: layer engine/tcp may not include engine/smtp/a.h (allowed: engine/base)"),
    ("a higher layer", "engine/base/a.h", ' #  include "engine/tcp/a.h"',
     "engine/base/a.h:1: layer engine/base may not include engine/tcp/a.h (allowed: nothing but itself)"),
    ("another header of a layer with one that is named", "engine/net/a.c", '#include "drivers/dpdk.h"',
     "engine/net/a.c:1: layer engine/net may not include drivers/dpdk.h (allowed: engine/base, drivers/port.h)"),
    ("a vendor's header", "engine/tcp/a.c", "#include <rte_mbuf.h>",
     "engine/tcp/a.c:1: layer engine/tcp may not include <rte_mbuf.h> (allowed: no vendor headers)"),
    ("a vendor's header in another file", "engine/core/loop.c", "#include <rte_mbuf.h>",
     "engine/core/loop.c:1: layer engine/core may not include <rte_mbuf.h> (allowed: rte_ in eal*.c)"),
    ("a path that is not from the top", "engine/tcp/a.c", '#include "a.h"',
     'engine/tcp/a.c:1: "a.h" is not spelt from the top of the checkout'),
    ("a folder without a row", "engine/new/a.c", "",
     "engine/new/a.c:1: engine/new is no layer: give it a row in engine/README.md"),
]

BAD_TABLES = [
    ("no section", TABLE.replace("## Layers", "## Lasagne"), "there is no section `## Layers`"),
    ("another heading", TABLE.replace("may include", "includes"), "must be headed"),
    ("an arrow upwards", TABLE.replace("| nothing |", "| `engine/tcp` |"), "which is no layer of a row above it"),
]


def check(table, file=None, text=""):
    with tempfile.TemporaryDirectory() as top:
        for path, content in (("engine/README.md", table), (file, text + "\n")):
            if path:
                os.makedirs(os.path.dirname(os.path.join(top, path)), exist_ok=True)
                with open(os.path.join(top, path), "w") as f:
                    f.write(content)
        return run(os.path.join(TOP, "scripts", "check_layers"), top)


def main():
    tool_is_content(run("scripts/check_layers"), "every #include keeps to the table of engine/README.md")
    for name, file, text, fault in PLANTS:
        result = check(TABLE, file, text)
        wanted = (1, fault + "\n") if fault else (0, "")
        tap.equal((result.returncode, result.stdout), wanted, f"check_layers {'refuses' if fault else 'takes'} {name}")
    for name, table, fault in BAD_TABLES:
        result = check(table)
        tap.ok(result.returncode == 2 and fault in result.stderr, f"check_layers refuses a table with {name}", result)
    tap.done()


main()
