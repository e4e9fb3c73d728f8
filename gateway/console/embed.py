# SPDX-License-Identifier: MIT
"""`embed.py OUTPUT.c FILE…`: the console's files as C arrays, each with its media type and an ETag made of its bytes."""
import hashlib
import sys
from pathlib import Path

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def literal(data):
    lines = (data[i:i + 16] for i in range(0, len(data), 16))
    return "\n".join("    " + "".join(f"{byte}," for byte in line) for line in lines)


def main(output, *paths):
    parts = ["/* Made by gateway/console/embed.py. */", '#include "gateway/console.h"', ""]
    rows = []
    for number, path in enumerate(map(Path, sorted(paths))):
        data = path.read_bytes()
        parts += [f"static const unsigned char bytes_{number}[] = {{", literal(data), "};"]
        name = "" if path.name == "index.html" else path.name
        rows.append(f'    {{"{name}", "{TYPES[path.suffix]}", "\\"{hashlib.sha256(data).hexdigest()[:32]}\\"", '
                    f"bytes_{number}, {len(data)}}},")
    parts += ["", "const struct console_asset console_assets[] = {", *rows, "};",
              f"const size_t console_asset_count = {len(rows)};", ""]
    Path(output).write_text("\n".join(parts))


main(*sys.argv[1:])
