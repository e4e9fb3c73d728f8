# SPDX-License-Identifier: MIT
"""What is in the bytes of a picture besides pixels, by own readers of JPEG, PNG, WebP and AVIF: each returns the
names of the parts, in order, and fails on anything that does not parse to the last byte."""
import struct
import zlib

SOF0, SOS, EOI = 0xC0, 0xDA, 0xD9


def jpeg_segments(data):
    """[(marker, payload)]; SOS carries the coded data after its header."""
    assert data[:2] == b"\xff\xd8"
    at, found = 2, []
    while True:
        assert data[at] == 0xFF, f"no marker at {at}"
        marker = data[at + 1]
        if marker == EOI:
            assert at + 2 == len(data), "bytes after the end"
            return found
        length = struct.unpack(">H", data[at + 2:at + 4])[0]
        payload = data[at + 4:at + 2 + length]
        at += 2 + length
        if marker == SOS:
            start = at
            while data[at] != 0xFF or data[at + 1] in range(0xD0, 0xD8) or data[at + 1] == 0:
                at += 1
            payload += data[start:at]
        found.append((marker, payload))


def png_chunks(data):
    """[(name, payload)], checksums verified."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, []
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at:at + 8])
        payload = data[at + 8:at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0] == zlib.crc32(name + payload)
        found.append((name.decode(), payload))
        at += 12 + length
    assert found[-1][0] == "IEND"
    return found


def webp_chunks(data):
    assert data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    assert struct.unpack("<I", data[4:8])[0] + 8 == len(data)
    at, found = 12, []
    while at < len(data):
        name, length = struct.unpack("<4sI", data[at:at + 8])
        found.append((name.decode(), data[at + 8:at + 8 + length]))
        at += 8 + length + length % 2
    return found


def boxes(data):
    """Names of ISO base media boxes, those inside meta, iprp and ipco too."""
    at, found = 0, []
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at:at + 8])
        assert 8 <= length <= len(data) - at
        name = name.decode()
        found.append(name)
        skip = {"meta": 4, "iprp": 0, "ipco": 0}.get(name)
        if skip is not None:
            found += boxes(data[at + 8 + skip:at + length])
        at += length
    return found


def exif_tags(payload):
    """{tag: value} of IFD0 of an APP1 segment that has an IFD0 and nothing else; rationals as pairs."""
    assert payload[:6] == b"Exif\0\0"
    tiff = payload[6:]
    order = {b"MM": ">", b"II": "<"}[tiff[:2]]
    start = struct.unpack(order + "I", tiff[4:8])[0]
    count = struct.unpack(order + "H", tiff[start:start + 2])[0]
    tags = {}
    for i in range(count):
        tag, kind, number, value = struct.unpack(order + "HHI4s", tiff[start + 2 + 12 * i:start + 14 + 12 * i])
        assert number == 1
        if kind == 3:
            tags[tag] = struct.unpack(order + "H", value[:2])[0]
        else:
            assert kind == 5
            offset = struct.unpack(order + "I", value)[0]
            tags[tag] = struct.unpack(order + "II", tiff[offset:offset + 8])
    assert tiff[start + 2 + 12 * count:start + 6 + 12 * count] == bytes(4), "a second IFD"
    return tags


PLAIN = {"webp": {"VP8 ", "VP8L", "VP8X", "ALPH", "ANIM", "ANMF"}, "png": {"IHDR", "IDAT", "IEND"},
         "jpeg": {0xE0, 0xDB, 0xC0, 0xC4, 0xDA},
         "avif": {"ftyp", "meta", "hdlr", "pitm", "iloc", "iinf", "iref", "iprp", "ipco", "ipma", "mdat", "idat", "ispe",
                  "pixi", "av1C", "colr", "auxC"}}
READERS = {"webp": webp_chunks, "png": png_chunks, "jpeg": jpeg_segments,
           "avif": lambda data: [(name, b"") for name in boxes(data)]}
TRACES = (b"Exif", b"http://ns.adobe.com", b"<x:xmpmeta", b"8BIM", b"ICC_PROFILE", b"acsp")


def assert_bare(kind, data):
    """Pixels and nothing else."""
    names = {name for name, _ in READERS[kind](data)}
    assert names <= PLAIN[kind], names - PLAIN[kind]
    for trace in TRACES:
        assert trace not in data, trace
