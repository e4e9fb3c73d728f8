# SPDX-License-Identifier: MIT
"""Documents that offend, made here, and how they are fed: the next one of the same nursery must succeed."""
import io
import struct
import zipfile
import zlib

from PIL import Image

MIB = 1 << 20
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def feed_to(driver, folder, kind, data, mime, parameters=None, **limits):
    path, outputs = folder / "document", [str(folder / f"output{i}") for i in range(8)]
    path.write_bytes(data)
    answer = driver.run(kind, parameters, input=str(path), mime=mime, outputs=outputs, limits=limits)
    path.write_bytes(b"plain text\n")
    after = driver.run("extract_office", input=str(path), mime="text/plain", outputs=[None, None])
    assert after["reason"] == "", "the next document fails"
    return answer


def package(parts):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in parts.items():
            file.writestr(name, text)
    return data.getvalue()


def relations(target, kind="officeDocument", more=""):
    return (f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="r1" Type="{R}/{kind}" Target="{target}"/>{more}</Relationships>')


def types(part, kind):
    return ('<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            f'<Override PartName="/{part}" ContentType="application/vnd.openxmlformats-officedocument.{kind}.main+xml"/>'
            "</Types>")


def docx(body, head="", **more):
    return package({"[Content_Types].xml": types("word/document.xml", "wordprocessingml.document"),
                    "_rels/.rels": relations("word/document.xml"),
                    "word/document.xml": f"<?xml version=\"1.0\"?>{head}<w:document {W}><w:body>{body}</w:body></w:document>",
                    **more})


def xlsx(sheet):
    return package({"[Content_Types].xml": types("xl/workbook.xml", "spreadsheetml.sheet"),
                    "_rels/.rels": relations("xl/workbook.xml"),
                    "xl/workbook.xml": f'<workbook {S} xmlns:r="{R}"><sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets>'
                                       "</workbook>",
                    "xl/_rels/workbook.xml.rels": relations("worksheets/sheet1.xml", "worksheet"),
                    "xl/worksheets/sheet1.xml": f"<worksheet {S}>{sheet}</worksheet>"})


def p(text):
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def pdf(objects, root=1):
    """Objects by number, as bytes; with a right cross-reference table."""
    data, places = io.BytesIO(), {}
    data.write(b"%PDF-1.7\n")
    for number, text in objects.items():
        places[number] = data.tell()
        data.write(b"%d 0 obj\n%s\nendobj\n" % (number, text))
    start, size = data.tell(), max(objects) + 1
    data.write(b"xref\n0 %d\n0000000000 65535 f \n" % size)
    for number in range(1, size):
        data.write(b"%010d 00000 n \n" % places.get(number, 0))
    data.write(b"trailer\n<</Size %d/Root %d 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (size, root, start))
    return data.getvalue()


def page(content, catalogue=b"", page_more=b"", filters=b"", more=None):
    return pdf({1: b"<</Type/Catalog/Pages 2 0 R%s>>" % catalogue, 2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
                3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Contents 4 0 R"
                   b"/Resources<</Font<</F 5 0 R>>>>%s>>" % page_more,
                4: b"<</Length %d%s>>stream\n%s\nendstream" % (len(content), filters, content),
                5: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>", **(more or {})})


HELLO = b"BT /F 12 Tf 10 50 Td (hello) Tj ET"


def endless_spaces():
    """4 GiB of spaces, deflated twice: the inner stream is one flushed block again and again."""
    inner = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = inner.compress(b" " * (16 * MIB)) + inner.flush(zlib.Z_FULL_FLUSH)
    outer = zlib.compressobj(9)
    return outer.compress(b"\x78\xda" + block * 256 + b"\x03\x00" + b"\0\0\0\0") + outer.flush()


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth=8, colour=0, interlaced=False):
    """A black picture, whole: rows of zeros compress to nothing."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    samples = {0: 1, 2: 3, 6: 4}[colour]
    packer, data = zlib.compressobj(9), []
    for left, top, across, down in passes if interlaced else [(0, 0, 1, 1)]:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        row = bytes(1 + (columns * depth * samples + 7) // 8)
        many = max(1, MIB // len(row))
        for at in range(0, rows, many):
            data.append(packer.compress(row * min(many, rows - at)))
    data.append(packer.flush())
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"".join(data)) + png_chunk(b"IEND", b"")


def jpeg(width, height, **options):
    data = io.BytesIO()
    Image.new("RGB", (width, height)).save(data, "JPEG", **options)
    return data.getvalue()


def wav(seconds, rate=8000):
    size = seconds * rate
    return (b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, rate, 1, 8) +
            b"data" + struct.pack("<I", size) + b"\x80" * size)
