"""PDFs of scanned pages, made here: each page a picture of a few lines that name the page."""
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

WIDTH, HEIGHT, DPI = 300, 120, 150  # points; of the pictures
LINES = ("Page number {number} of a long report", "The mill ground {number} sacks of grain",
         "before the river froze in winter")


def pdf(objects):
    """A PDF file of objects 1, 2, …, each as bytes; 1 is the catalog."""
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return (out + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table +
            b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out)))


def stream(data, entries=b""):
    return b"<< %s /Length %d >>\nstream\n" % (entries, len(data)) + data + b"\nendstream"


def document(pages, width=WIDTH, height=HEIGHT, resources=b""):
    """pages: (content stream, more objects that the page's resources name as /I n 0 R)."""
    kids = b" ".join(b"%d 0 R" % (3 + 3 * i) for i in range(len(pages)))
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>",
               b"<< /Type /Pages /Count %d /Kids [%s] /MediaBox [0 0 %d %d] >>" % (len(pages), kids, width, height)]
    for i, (content, extra) in enumerate(pages):
        number = 3 + 3 * i
        objects += [b"<< /Type /Page /Parent 2 0 R /Contents %d 0 R /Resources << %s /XObject << /I %d 0 R >> >> >>"
                    % (number + 1, resources, number + 2), stream(content), extra]
    return pdf(objects)


def text_pdf(numbers, lines=LINES):
    font = b"/Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"
    pages = []
    for number in numbers:
        text = b"".join(b"1 0 0 1 20 %d Tm (%s) Tj\n" % (HEIGHT - 35 - 25 * i, line.format(number=number).encode())
                        for i, line in enumerate(lines))
        pages.append((b"BT /F 14 Tf\n" + text + b"ET", b"null"))
    return document(pages, resources=font)


def pictures(numbers):
    """(width, height, gray bytes) of each page."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "text.pdf"
        source.write_bytes(text_pdf(numbers))
        subprocess.run(["pdftoppm", "-r", str(DPI), "-gray", source, Path(folder) / "p"], check=True)
        for path in sorted(Path(folder).glob("p-*.pgm")):
            head, size, _, gray = path.read_bytes().split(b"\n", 3)
            assert head == b"P5"
            width, height = map(int, size.split())
            yield width, height, gray


def scan_pdf(count, empty=()):
    """A PDF of `count` scanned pages; those in `empty` (from 1) are blank paper."""
    pages = []
    for number, (width, height, gray) in enumerate(pictures(range(1, count + 1)), 1):
        gray = b"\xff" * len(gray) if number in empty else gray
        entries = (b"/Type /XObject /Subtype /Image /Width %d /Height %d /BitsPerComponent 8 /ColorSpace /DeviceGray "
                   b"/Filter /FlateDecode" % (width, height))
        pages.append((b"q %d 0 0 %d 0 0 cm /I Do Q" % (WIDTH, HEIGHT), stream(zlib.compress(gray, 1), entries)))
    return document(pages)


def scan_tiff(count):
    """The same pages as an uncompressed gray TIFF of `count` pages."""
    out = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for width, height, gray in pictures(range(1, count + 1)):
        strip = len(out)
        out += gray + b"\0" * (len(gray) % 2)
        resolution = len(out)
        out += struct.pack("<II", DPI, 1)
        out[link:link + 4] = struct.pack("<I", len(out))
        tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, strip), (277, 3, 1),
                (278, 4, height), (279, 4, len(gray)), (282, 5, resolution), (283, 5, resolution), (296, 3, 2)]
        out += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, kind, 1, value)
                                                       for tag, kind, value in tags)
        link = len(out)
        out += b"\0\0\0\0"
    return bytes(out)
