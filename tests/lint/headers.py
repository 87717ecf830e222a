"""The public headers compile alone, as C99 and as C++, with every warning: outsiders include them as they are."""
import os
import tempfile

from sources import TOP, run, tap, tool_is_content

PUBLIC = ["engine/ring/feed.h", "engine/hardline.h"]
COMPILERS = [
    ("C99", "c", ["gcc", "-std=c99"]),
    ("C17 by clang", "c", ["clang", "-std=c17", "-Wdocumentation"]),
    ("C++11", "cc", ["g++", "-std=c++11"]),
    ("C++20 by clang", "cc", ["clang++", "-std=c++20"]),
]


def main():
    with tempfile.TemporaryDirectory() as folder:
        for header in PUBLIC:
            if not os.path.exists(os.path.join(TOP, header)):
                tap.skip(f"{header} compiles alone", "it does not exist yet")
                continue
            for name, suffix, compiler in COMPILERS:
                source = os.path.join(folder, "alone." + suffix)
                with open(source, "w") as f:
                    f.write(f'#include "{header}"\n#include "{header}"\nint main(void) {{ return 0; }}\n')
                result = run(*compiler, "-Wall", "-Wextra", "-pedantic", "-Werror", "-I" + TOP, "-c", source, "-o", os.devnull)
                tool_is_content(result, f"{header} compiles alone as {name}")
    tap.done()


main()
