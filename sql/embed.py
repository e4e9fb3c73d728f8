#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the migrations and verify.sql as a C source, with the SHA-256 of each: embed.py OUTPUT FILE...

Fails when the folder holds a migration that is not among FILES, or when two have the same number."""
import hashlib
import re
import sys
from pathlib import Path


def literal(data):
    """Bytes as signed characters, a row per line of text (a string literal may not be this long)."""
    rows = (data + b"\0").splitlines(keepends=True)
    return "{\n" + "\n".join("    " + "".join(f"{byte - 256 if byte > 127 else byte}," for byte in row)
                             for row in rows) + "\n}"


def main(output, *names):
    files = [Path(name) for name in names]
    migrations = sorted((path for path in files if path.parent.name == "migrations"), key=lambda path: path.name)
    verify = next(path for path in files if path.name == "verify.sql")
    forgotten = {path.name for path in migrations[0].parent.glob("*.sql")} - {path.name for path in migrations}
    if forgotten:
        sys.exit(f"not listed in sql/meson.build: {', '.join(sorted(forgotten))}")
    rows, sources, seen = [], [], set()
    for path in migrations:
        version, name = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", path.name).groups()
        if version in seen:
            sys.exit(f"two migrations have the number {version}")
        seen.add(version)
        data = path.read_bytes()
        sources.append(f"static const char migration_{version}[] = {literal(data)};")
        rows.append(f'    {{.version = {int(version)}, .name = "{name}", '
                    f'.checksum = "{hashlib.sha256(data).hexdigest()}", .text = migration_{version}}},')
    Path(output).write_text(
        '/* Made by sql/embed.py. */\n#include "sql/migrate.h"\n\n' + "\n".join(sources) +
        "\n\nconst struct migration migrations[] = {\n" + "\n".join(rows) +
        "\n};\nconst size_t migration_count = sizeof migrations / sizeof migrations[0];\n" +
        f"const char verify_text[] = {literal(verify.read_bytes())};\n", encoding="utf-8")


main(*sys.argv[1:])
