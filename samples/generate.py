#!/usr/bin/env python3
"""Draws the samples: a three-page PDF, a landscape photograph and a phone picture that lies on its side.

Needs rsvg-convert, vips and exiftool (Debian: librsvg2-bin libvips-tools libimage-exiftool-perl). The results are
committed; run this only to change them.
"""
import math
import random
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RANDOM = random.Random(7)


def ridge(width, base, height, step, colour):
    """One line of hills as an SVG path: midpoint noise over a slow wave."""
    points = []
    for x in range(0, width + step, step):
        wave = math.sin(x / width * 5 + base) * height * 0.5
        points.append((x, base - wave - RANDOM.random() * height * 0.35))
    path = f"M0 {points[0][1]:.0f} " + " ".join(f"L{x} {y:.0f}" for x, y in points) + f" L{width} 2000 L0 2000 Z"
    return f'<path d="{path}" fill="{colour}"/>'


def scene(width, height):
    trees = "".join(
        f'<path d="M{x} {y} l{s} {-s * 4} l{s} {s * 4} z" fill="#16302b"/>'
        for x, y, s in ((RANDOM.randrange(width), height * 0.86 + RANDOM.random() * height * 0.12,
                         height * (0.006 + RANDOM.random() * 0.014)) for _ in range(120)))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">
<defs><linearGradient id="sky" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#24426b"/>
<stop offset=".55" stop-color="#e0916a"/><stop offset="1" stop-color="#f6d7a1"/></linearGradient></defs>
<rect width="100%" height="100%" fill="url(#sky)"/>
<circle cx="{width * .68}" cy="{height * .42}" r="{height * .06}" fill="#fff1cf"/>
{ridge(width, height * .58, height * .16, 22, '#7a5a78')}
{ridge(width, height * .68, height * .12, 18, '#4d4666')}
{ridge(width, height * .80, height * .10, 14, '#2a3350')}{trees}</svg>"""


PAGES = [
    ("The mill", ["A mill does one thing all day: grain goes in at the top,", "flour comes out at the bottom, and nobody "
     "has to watch.", "Filemill does the same with files. An app's client puts a", "document straight into object "
     "storage; text, pictures and", "previews come back."]),
    ("The stones", ["Every document is ground in a process of its own. It gets", "one descriptor to read, a few to "
     "write, and nothing else:", "no network, no credentials, no files. When a document is", "hostile, the stone "
     "breaks, the mill does not."]),
    ("The ledger", ["Postgres keeps the books. A job is leased, carried out and", "written off in one transaction; "
     "a worker that dies in the", "middle costs one retry. Nothing that was accepted is lost,", "and nothing is "
     "done twice where anybody can see it."]),
]


def page(title, lines):
    text = "".join(f'<text x="72" y="{190 + i * 26}" font-size="17">{line}</text>' for i, line in enumerate(lines))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="595" height="842" font-family="DejaVu Serif">
<rect width="100%" height="100%" fill="white"/><rect x="72" y="72" width="451" height="3" fill="#24426b"/>
<text x="72" y="130" font-size="32">{title}</text>{text}</svg>"""


def run(*command):
    subprocess.run([str(part) for part in command], check=True)


def photo(name, width, height, *, sideways):
    (HERE / "scene.svg").write_text(scene(width, height))
    run("rsvg-convert", HERE / "scene.svg", "-o", HERE / "scene.png")
    run("vips", "gaussnoise", HERE / "noise.v", width, height, "--sigma", "7", "--mean", "0", "--seed", "3")
    run("vips", "add", HERE / "scene.png", HERE / "noise.v", HERE / "sum.v")
    run("vips", "cast", HERE / "sum.v", HERE / "byte.v", "uchar")
    source = HERE / "byte.v"
    if sideways:  # stored lying, with the tag that says so
        run("vips", "rot", source, HERE / "rotated.v", "d270")
        source = HERE / "rotated.v"
    run("vips", "jpegsave", source, HERE / name, "--Q", "78")
    run("exiftool", "-q", "-overwrite_original", "-Make=Filemill", "-Model=Drawn camera", "-GPSLatitude=48.2",
        "-GPSLatitudeRef=N", "-GPSLongitude=16.4", "-GPSLongitudeRef=E",
        *(["-n", "-Orientation=6"] if sideways else []), HERE / name)


def main():
    pages = []
    for number, (title, lines) in enumerate(PAGES):
        path = HERE / f"page{number}.svg"
        path.write_text(page(title, lines))
        pages.append(path)
    run("rsvg-convert", "-f", "pdf", *pages, "-o", HERE / "mill.pdf")
    photo("evening.jpg", 1600, 1067, sideways=False)
    photo("phone.jpg", 900, 1200, sideways=True)
    for pattern in ("*.svg", "*.v", "scene.png"):
        for path in HERE.glob(pattern):
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
