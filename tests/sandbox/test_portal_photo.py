# SPDX-License-Identifier: MIT
"""portal_photo through a real runner. What is written is confirmed by Pillow, `file`, exiftool and an own reader of
segments and chunks; the proof must say the same."""
import json
import random
import shutil
import struct
import subprocess

import pytest

from driver import CORPUS
from image_bytes import exif_tags, jpeg_segments, png_chunks

pytest.importorskip("PIL", reason="python3-pil is not installed")
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageStat  # noqa: E402

# name: width, height, dpi, min kB, max kB
PRESETS = {
    "NEET 2026": (200, 230, 200, 10, 100), "JEE Main 2026": (413, 531, 300, 10, 200),
    "Aadhaar Update": (276, 354, 200, 20, 50), "Passport India": (630, 810, 457, 40, 250),
    "College Generic": (413, 531, 300, 20, 200), "IBPS Photo": (200, 230, 200, 20, 50),
    "IBPS Signature": (140, 60, 200, 10, 20), "IBPS Thumb": (240, 240, 200, 20, 50),
    "IBPS Declaration": (800, 400, 200, 50, 100), "SSC Photo": (276, 354, 200, 20, 50),
    "SSC Signature": (315, 157, 200, 10, 20), "UPSC Photo": (550, 550, 200, 20, 300),
}
MIME = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif", ".tif": "image/tiff",
        ".tiff": "image/tiff", ".heic": "image/heic", ".avif": "image/avif", ".bmp": "image/bmp",
        ".svg": "image/svg+xml"}
TYPED = {"DECODE_FAILED", "SIZE_EXCEEDED", "too_many_pixels", "crash", "timeout", "no_progress", "cpu_limit",
         "memory_limit"}
LIMITS = {"cpu_seconds": 60, "wall_ms": 120000}
PICTURES = sorted(p for folder in ("img", "bad") if (CORPUS / folder).is_dir()
                  for p in (CORPUS / folder).iterdir() if p.suffix.lower() in MIME)
needs_corpus = pytest.mark.skipif(not PICTURES, reason="no corpus: set FILEMILL_CORPUS")
SOF0, APP0, APP1, COM = 0xC0, 0xE0, 0xE1, 0xFE


class Photo:
    def __init__(self, driver, folder, path, mime=None, **parameters):
        outputs = [folder / "photo.jpg", folder / "photo.png", folder / "proof.json"]
        for output in outputs:
            output.unlink(missing_ok=True)
        self.answer = driver.run("portal_photo", parameters, input=str(path), mime=mime or MIME[path.suffix.lower()],
                                 limits=LIMITS, outputs=[str(o) for o in outputs])
        self.reason, self.detail = self.answer["reason"], self.answer["detail"]
        if self.reason:
            return
        self.proof = json.loads(outputs[2].read_text())
        self.path = outputs[1 if self.proof["photo"]["format"] == "png" else 0]
        assert outputs[0 if self.path == outputs[1] else 1].stat().st_size == 0, "one format is asked"
        self.data = self.path.read_bytes()
        self.image = Image.open(self.path)
        self.image.load()


def gradient(width, height):
    image = Image.new("RGB", (width, height))
    image.putdata([(x * 255 // width, y * 255 // height, 128) for y in range(height) for x in range(width)])
    return image


def noise(width, height, seed=1):
    return Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(width * height * 3))


def shapes(width, height, low=0, high=255):
    """Rectangles of all sizes and greys: edges, light and shade, as in a photo."""
    generator = random.Random(7)
    image = Image.new("RGB", (width, height), (128,) * 3)
    for _ in range(60):
        x, y = generator.randrange(width), generator.randrange(height)
        grey = generator.randrange(low, high + 1)
        ImageDraw.Draw(image).rectangle((x, y, x + generator.randrange(width // 4), y + generator.randrange(height // 4)),
                                        fill=(grey,) * 3)
    return image


def save(image, path, **options):
    image.save(path, **options)
    return path


def difference(left, right):
    return sum(ImageStat.Stat(ImageChops.difference(left.convert("RGB"), right.convert("RGB"))).mean) / 3


# --- what every photo must be -------------------------------------------------------------------------------

def check_jpeg(data, width, height, dpi):
    """Baseline, JFIF and EXIF of equal density, and nothing else but padding."""
    segments = jpeg_segments(data)
    markers = [marker for marker, _ in segments]
    assert markers[:2] == [APP0, APP1] and set(markers) <= {APP0, APP1, COM, 0xDB, SOF0, 0xC4, 0xDA}
    assert all(set(payload) <= {0x20} for marker, payload in segments if marker == COM), "padding is blanks"
    jfif = segments[0][1]
    assert len(jfif) == 14 and jfif[:5] == b"JFIF\0"
    assert struct.unpack(">BHH", jfif[7:12]) == (1, dpi, dpi)
    assert exif_tags(segments[1][1]) == {0x011A: (dpi, 1), 0x011B: (dpi, 1), 0x0128: 2, 0x0213: 1}
    frame = next(payload for marker, payload in segments if marker == SOF0)
    assert struct.unpack(">BHHB", frame[:6]) == (8, height, width, 3)


def check_photo(photo, width, height, dpi, least, most):
    image, proof = photo.image, photo.proof["photo"]
    assert image.size == (width, height) and image.mode == "RGB"
    assert least * 1024 <= len(photo.data) and (most == 0 or len(photo.data) <= most * 1000)
    if image.format == "JPEG":
        check_jpeg(photo.data, width, height, dpi)
        assert image.info["jfif_density"] == (dpi, dpi) and image.info["jfif_unit"] == 1
        assert not image.info.get("progressive")
    else:
        chunks = png_chunks(photo.data)
        assert {name for name, _ in chunks} <= {"IHDR", "pHYs", "IDAT", "fmPd", "IEND"}
        assert [round(n) for n in image.info["dpi"]] == [dpi, dpi]
    expected = {"width": width, "height": height, "dpi": dpi, "bytes": len(photo.data)}
    assert {name: proof[name] for name in expected} == expected
    assert 0 <= photo.proof["quality_score"] <= 1 and 0 < proof["ssim"] <= 1


@needs_corpus
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ["exif_Landscape_6.jpg", "sharp_5_webp_a.webp", "vips_avif-orientation-6.avif"])
def test_every_preset(driver, tmp_path, preset, name):
    photo = Photo(driver, tmp_path, CORPUS / "img" / name, preset=preset)
    assert photo.reason == "", photo.detail
    check_photo(photo, *PRESETS[preset])
    assert photo.proof["schema"]["name"] == preset and photo.proof["status"] == "success"


@needs_corpus
def test_other_programs_agree(driver, tmp_path):
    for program in ("exiftool", "file"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    photo = Photo(driver, tmp_path, CORPUS / "img" / "exif_Landscape_1.jpg", preset="Passport India")
    said = subprocess.run(["file", "-b", photo.path], capture_output=True, text=True, check=True).stdout
    assert "resolution (DPI), density 457x457" in said and "baseline" in said and "630x810" in said
    tags = json.loads(subprocess.run(["exiftool", "-j", "-n", "-G1", "-a", photo.path], capture_output=True, text=True,
                                     check=True).stdout)[0]
    assert {tags[f"{group}:{axis}Resolution"] for group in ("JFIF", "IFD0") for axis in "XY"} == {457}
    assert tags["File:EncodingProcess"] == 0, "baseline"
    assert {tag.split(":")[0] for tag in tags} <= {"SourceFile", "ExifTool", "System", "File", "JFIF", "IFD0", "Composite"}


@needs_corpus
@pytest.mark.parametrize("path", PICTURES, ids=lambda p: p.name)
def test_every_picture_ends_well(driver, tmp_path, path):
    photo = Photo(driver, tmp_path, path, preset="JEE Main 2026")
    if photo.reason:
        assert photo.reason in TYPED
    else:
        check_photo(photo, *PRESETS["JEE Main 2026"])


def random_picture(generator, folder):
    size = generator.randint(1, 900), generator.randint(1, 900)
    kind = generator.choice(["noise", "flat", "gradient", "lines"])
    image = {"noise": lambda: noise(*size, seed=generator.random()), "gradient": lambda: gradient(*size),
             "flat": lambda: Image.new("RGB", size, tuple(generator.randbytes(3))),
             "lines": lambda: Image.new("RGB", size, "white")}[kind]()
    if kind == "lines":
        draw = ImageDraw.Draw(image)
        for _ in range(40):
            draw.line([generator.randint(0, 900) for _ in range(4)], fill="black", width=2)
    mode = generator.choice(["RGB", "L", "RGBA", "P", "CMYK", "1"])
    suffix = {"CMYK": [".jpg", ".tif"], "RGBA": [".png", ".webp"], "P": [".png", ".gif"], "1": [".png", ".tif"]}.get(
        mode, [".jpg", ".png", ".tif"])
    return save(image.convert(mode), folder / f"in{generator.choice(suffix)}"), kind


@pytest.mark.parametrize("seed", range(48))
def test_random_pictures_meet_every_limit(driver, tmp_path, seed):
    """A photo that was made is right; one that was not could not be: only noise is too large, at the least quality."""
    generator = random.Random(seed)
    path, kind = random_picture(generator, tmp_path)
    preset = generator.choice(list(PRESETS))
    crop = generator.choice(["centre", "attention", {"left": 0.25, "top": 0.1, "width": 0.5, "height": 0.6}])
    photo = Photo(driver, tmp_path, path, preset=preset, crop=crop, clahe=generator.choice(["auto", "on", "off"]),
                  denoise=generator.choice(["auto", "on", "off"]))
    if photo.reason:
        assert photo.reason == "SIZE_EXCEEDED" and kind in ("noise", "lines"), photo.answer
    else:
        check_photo(photo, *PRESETS[preset])


# --- size ---------------------------------------------------------------------------------------------------

def test_quality_is_the_best_that_fits(driver, tmp_path):
    source = save(noise(300, 300).filter(ImageFilter.GaussianBlur(1)), tmp_path / "in.png")
    schema = {"target_width": 300, "target_height": 300, "max_kb": 20, "quality": 100}
    photo = Photo(driver, tmp_path, source, schema=schema, denoise="off")
    best = photo.proof["photo"]["quality_used"]
    assert 30 <= best < 100
    check_photo(photo, 300, 300, 200, 0, 20)
    for quality in (best + 1, best + 2):
        more = Photo(driver, tmp_path, source, denoise="off",
                     schema={**schema, "quality": quality, "min_quality": quality})
        assert more.reason == "SIZE_EXCEEDED"


@pytest.mark.parametrize("given,used", [({"quality": 12}, 12), ({"min_quality": 98}, 98), ({}, 95)])
def test_a_quality_that_is_left_out_goes_along_with_the_other(driver, tmp_path, given, used):
    source = save(gradient(100, 100), tmp_path / "in.png")
    photo = Photo(driver, tmp_path, source, schema={"target_width": 50, "target_height": 50, **given})
    assert photo.reason == "" and photo.proof["photo"]["quality_used"] == used, photo.answer


@pytest.mark.parametrize("output_format", ["jpeg", "png"])
@pytest.mark.parametrize("min_kb", [1, 20, 63, 64, 65, 128, 300])
def test_padding_reaches_the_least_size_exactly(driver, tmp_path, output_format, min_kb):
    source = save(Image.new("RGB", (200, 200), (90, 120, 150)), tmp_path / "in.png")
    schema = {"width_px": 200, "height_px": 200, "dpi": 200, "format": output_format, "quality": 100}
    plain = Photo(driver, tmp_path, source, schema=schema)
    pixels = plain.image.tobytes()
    padded = Photo(driver, tmp_path, source, schema={**schema, "min_kb": min_kb, "max_kb": min_kb * 2})
    if len(plain.data) >= min_kb * 1024:
        assert padded.proof["photo"]["padding_bytes"] == 0
        return
    assert len(padded.data) == min_kb * 1024
    assert padded.proof["photo"]["padding_bytes"] == min_kb * 1024 - len(plain.data)
    assert padded.image.tobytes() == pixels
    check_photo(padded, 200, 200, 200, min_kb, min_kb * 2)


def test_more_quality_comes_before_padding(driver, tmp_path):
    """A preset's quality is passed to reach its least size."""
    source = save(noise(300, 345).filter(ImageFilter.GaussianBlur(2)), tmp_path / "in.png")
    photo = Photo(driver, tmp_path, source, denoise="off", clahe="off",
                  schema={"target_width": 200, "target_height": 230, "quality": 50, "min_kb": 20, "max_kb": 60})
    assert photo.proof["photo"]["quality_used"] > 90 and photo.proof["photo"]["padding_bytes"] == 0


@pytest.mark.parametrize("output_format,max_kb", [("jpeg", 20), ("png", 500)])
def test_what_cannot_be_met_is_said(driver, tmp_path, output_format, max_kb):
    source = save(noise(1000, 1000), tmp_path / "in.png")
    photo = Photo(driver, tmp_path, source, denoise="off", schema={
        "target_width": 1000, "target_height": 1000, "max_kb": max_kb, "output_format": output_format})
    assert photo.reason == "SIZE_EXCEEDED" and photo.detail.startswith("schema: ") and f"{max_kb}000" in photo.detail


def test_chroma_follows_quality(driver, tmp_path):
    source = save(gradient(200, 200), tmp_path / "in.png")
    for quality, sampling in ((89, 0x22), (90, 0x11)):
        photo = Photo(driver, tmp_path, source, schema={"target_width": 200, "target_height": 200, "quality": quality})
        frame = next(payload for marker, payload in jpeg_segments(photo.data) if marker == SOF0)
        assert photo.proof["photo"]["quality_used"] == quality
        assert frame[7] == sampling


def similarity(left, right):
    """Wang et al., written down again: 8x8 windows, 4 apart."""
    width, height = left.size
    a, b = left.tobytes(), right.tobytes()
    values = []
    for top in range(0, height - 7, 4):
        for start in range(0, width - 7, 4):
            p = [v for y in range(top, top + 8) for v in a[y * width + start:y * width + start + 8]]
            q = [v for y in range(top, top + 8) for v in b[y * width + start:y * width + start + 8]]
            mp, mq = sum(p) / 64, sum(q) / 64
            vp, vq = sum(v * v for v in p) / 64 - mp * mp, sum(v * v for v in q) / 64 - mq * mq
            cov = sum(v * w for v, w in zip(p, q)) / 64 - mp * mq
            values.append((2 * mp * mq + 6.5025) * (2 * cov + 58.5225)
                          / ((mp * mp + mq * mq + 6.5025) * (vp + vq + 58.5225)))
    return sum(values) / len(values)


def test_similarity_is_against_the_resize(driver, tmp_path):
    """The PNG of the same order is the resize without loss."""
    source = save(noise(400, 300).filter(ImageFilter.GaussianBlur(2)), tmp_path / "in.png")
    schema = {"target_width": 160, "target_height": 120, "quality": 60}
    exact = Photo(driver, tmp_path, source, schema={**schema, "output_format": "png"})
    photo = Photo(driver, tmp_path, source, schema=schema)
    assert exact.proof["photo"]["ssim"] == 1
    assert photo.proof["photo"]["ssim"] == pytest.approx(similarity(photo.image.convert("L"), exact.image.convert("L")),
                                                         abs=0.005)
    assert photo.proof["photo"]["ssim"] < 0.999


# --- pixels -------------------------------------------------------------------------------------------------

@needs_corpus
def test_all_eight_orientations_are_upright(driver, tmp_path):
    photos = [Photo(driver, tmp_path, CORPUS / "img" / f"exif_Landscape_{n}.jpg", preset="UPSC Photo").image.copy()
              for n in range(1, 9)]
    assert difference(photos[0], photos[0].rotate(180)) > 20, "the picture must show which way it lies"
    for photo in photos[1:]:
        assert difference(photos[0], photo) < 4


QUARTERS = {(0, 0): (200, 30, 30), (1, 0): (30, 200, 30), (0, 1): (30, 30, 200), (1, 1): (200, 200, 30)}


def quarters(path):
    image = Image.new("RGB", (400, 200))
    for (x, y), colour in QUARTERS.items():
        image.paste(colour, (x * 200, y * 100, x * 200 + 200, y * 100 + 100))
    return save(image, path)


@pytest.mark.parametrize("place", QUARTERS)
def test_a_box_is_cut_out(driver, tmp_path, place):
    x, y = place
    photo = Photo(driver, tmp_path, quarters(tmp_path / "in.png"), clahe="off", denoise="off",
                  schema={"target_width": 80, "target_height": 80},
                  crop={"left": x * 0.5 + 0.05, "top": y * 0.5 + 0.05, "width": 0.4, "height": 0.4})
    assert difference(photo.image, Image.new("RGB", (80, 80), QUARTERS[place])) < 4


def test_the_centre_keeps_its_shape(driver, tmp_path):
    image = Image.new("RGB", (600, 200), "white")
    ImageDraw.Draw(image).ellipse((200, 0, 399, 199), fill="black")
    photo = Photo(driver, tmp_path, save(image, tmp_path / "in.png"), schema={"target_width": 100, "target_height": 100},
                  clahe="off", denoise="off")
    box = ImageChops.invert(photo.image.convert("L")).point(lambda v: 255 if v > 128 else 0).getbbox()
    assert max(abs(a - b) for a, b in zip(box, (0, 0, 100, 100))) <= 1, "a circle stays one"


def test_attention_finds_what_stands_out(driver, tmp_path):
    image = Image.new("RGB", (900, 300), (120, 120, 120))
    ImageDraw.Draw(image).ellipse((680, 60, 860, 240), fill=(230, 40, 40), outline="white", width=6)
    source = save(image, tmp_path / "in.png")
    schema = {"target_width": 100, "target_height": 100}
    found = {crop: ImageStat.Stat(Photo(driver, tmp_path, source, schema=schema, crop=crop, clahe="off").image).mean[0]
             for crop in ("centre", "attention")}
    assert found["attention"] > found["centre"] + 20


@pytest.mark.parametrize("background", ["white", "#336699"])
def test_transparency_becomes_background(driver, tmp_path, background):
    source = save(Image.new("RGBA", (100, 100), (0, 0, 0, 0)), tmp_path / "in.png")
    photo = Photo(driver, tmp_path, source, clahe="off",
                  schema={"target_width": 50, "target_height": 50, "background": background})
    assert difference(photo.image, Image.new("RGB", (50, 50), background)) < 2


def test_enlarging_is_told(driver, tmp_path):
    photo = Photo(driver, tmp_path, save(gradient(50, 50), tmp_path / "in.png"),
                  schema={"target_width": 200, "target_height": 200})
    assert photo.image.size == (200, 200) and "Enlarged 4.00 times" in photo.proof["warnings"]


# --- quality and enhancement --------------------------------------------------------------------------------

SCHEMA = {"target_width": 300, "target_height": 300}


def stage(photo, name):
    return photo.proof["stages"][name]


def test_blur_lowers_the_score(driver, tmp_path):
    sharp = shapes(600, 600)
    photos = [Photo(driver, tmp_path, save(sharp.filter(ImageFilter.GaussianBlur(radius)), tmp_path / "in.png"),
                    schema=SCHEMA) for radius in (0, 3, 12)]
    scores = [photo.proof["quality_score"] for photo in photos]
    assert scores == sorted(scores, reverse=True) and scores[0] > scores[2] + 0.2
    assert any(w.startswith("Low sharpness") for w in photos[2].proof["warnings"])
    assert not any(w.startswith("Low sharpness") for w in photos[0].proof["warnings"])


@pytest.mark.parametrize("low,high,warning", [(0, 40, "Too dark"), (225, 255, "Too bright"), (120, 140, "Low contrast")])
def test_bad_light_is_told(driver, tmp_path, low, high, warning):
    image = gradient(400, 400).point(lambda v: low + v * (high - low) // 255)
    bad = Photo(driver, tmp_path, save(image, tmp_path / "in.png"), schema=SCHEMA)
    good = Photo(driver, tmp_path, save(gradient(400, 400), tmp_path / "in.png"), schema=SCHEMA)
    assert any(w.startswith(warning) for w in bad.proof["warnings"])
    assert not any(w.startswith(warning) for w in good.proof["warnings"])
    assert bad.proof["quality_score"] < good.proof["quality_score"]


def spread(image):
    return ImageStat.Stat(image.convert("L")).stddev[0]


def test_contrast_is_raised_only_where_it_is_low(driver, tmp_path):
    dull = shapes(400, 400).filter(ImageFilter.GaussianBlur(4)).point(lambda v: 110 + v * 36 // 255)
    source = save(dull, tmp_path / "in.png")
    left, made = (Photo(driver, tmp_path, source, schema=SCHEMA, clahe=choice) for choice in ("off", "auto"))
    assert not stage(left, "enhance")["clahe"] and stage(made, "enhance")["clahe"]
    assert spread(made.image) > 1.5 * spread(left.image)
    good = Photo(driver, tmp_path, save(gradient(400, 400), tmp_path / "in.png"), schema=SCHEMA)
    assert not stage(good, "enhance")["clahe"]


def test_noise_is_taken_out_only_where_there_is_some(driver, tmp_path):
    clean = gradient(300, 300)
    speckled = Image.blend(clean, noise(300, 300), 0.35)
    reference, noisy = save(clean, tmp_path / "clean.png"), save(speckled, tmp_path / "noisy.png")
    options = {"schema": {**SCHEMA, "output_format": "png"}, "clahe": "off"}
    kept, made = (Photo(driver, tmp_path, noisy, denoise=choice, **options) for choice in ("off", "auto"))
    kept_noise, made_noise = (difference(p.image, p.image.filter(ImageFilter.GaussianBlur(2))) for p in (kept, made))
    assert stage(made, "enhance")["denoise"] and made_noise < 0.8 * kept_noise
    assert not stage(Photo(driver, tmp_path, reference, **options), "enhance")["denoise"]


# --- orders and failures ------------------------------------------------------------------------------------

@pytest.mark.parametrize("parameters", [
    {"preset": "neet-2026"}, {"preset": "NEET 2026", "schema": {"max_kb": 99}},
    {"portal_schema": {"id": "x", "name": "NEET 2026", "version": 1}},
    {"portal_schema": {"id": "x", "name": "Mine", "version": 1, "schema_definition": {
        "target_width": 200, "target_height": 230, "target_dpi": 200, "max_kb": 100, "filename_pattern": "{job_id}",
        "output_format": "jpg", "quality": 85}}},
])
def test_orders_may_be_written_in_several_ways(driver, tmp_path, parameters):
    photo = Photo(driver, tmp_path, save(gradient(300, 300), tmp_path / "in.png"), **parameters)
    assert photo.reason == "", photo.detail
    check_photo(photo, 200, 230, 200, 0, 100)


@pytest.mark.parametrize("parameters", [
    {}, {"preset": "unknown"}, {"preset": 7}, {"schema": {}}, {"schema": {"target_width": 100}},
    {"schema": {"target_width": 0, "target_height": 10}}, {"schema": {"target_width": 3001, "target_height": 10}},
    {"preset": "NEET 2026", "schema": {"min_kb": 50, "max_kb": 50}},
    {"preset": "NEET 2026", "schema": {"min_quality": 90}}, {"preset": "NEET 2026", "schema": {"output_format": "webp"}},
    {"preset": "NEET 2026", "schema": {"colour": 1}}, {"preset": "NEET 2026", "crop": "left"},
    {"preset": "NEET 2026", "crop": {"left": 0.5, "top": 0, "width": 0.6, "height": 1}},
    {"preset": "NEET 2026", "crop": {"left": 0.5, "top": 0}}, {"preset": "NEET 2026", "denoise": True},
    {"preset": "NEET 2026", "ocr": "yes"}, {"presets": "NEET 2026"},
])
def test_bad_orders(driver, tmp_path, parameters):
    source = save(gradient(20, 20), tmp_path / "in.png")
    assert Photo(driver, tmp_path, source, **parameters).reason == "bad_parameters"


@needs_corpus
@pytest.mark.parametrize("name,mime,reason", [
    ("img/vips_truncated.jpg", None, "DECODE_FAILED"), ("img/sharp_truncated.png", None, "DECODE_FAILED"),
    ("bad/pdf_named.jpg", None, "DECODE_FAILED"), ("bad/zero_byte.pdf", "image/jpeg", "DECODE_FAILED"),
    ("img/vips_logo.svg", None, "DECODE_FAILED"), ("bad/png_bomb_30000x30000_gray8.png", None, "too_many_pixels"),
])
def test_failures_name_their_stage(driver, tmp_path, name, mime, reason):
    photo = Photo(driver, tmp_path, CORPUS / name, mime=mime, preset="NEET 2026")
    assert photo.reason == reason and photo.detail.startswith("decode: ")


def test_text_is_not_read_unless_asked(driver, tmp_path):
    photo = Photo(driver, tmp_path, save(gradient(300, 300), tmp_path / "in.png"), preset="NEET 2026")
    assert "OCR skipped" in photo.proof["warnings"] and stage(photo, "ocr")["state"] == "skipped"


def test_a_picture_without_text_has_no_confidence(driver, tmp_path):
    photo = Photo(driver, tmp_path, save(gradient(300, 300), tmp_path / "in.png"), preset="NEET 2026", ocr=True)
    assert photo.reason == "", photo.detail
    assert stage(photo, "ocr") == {"state": "done", "confidence": 0, "words": 0, "characters": 0}
    assert "Low OCR confidence: 0.00" in photo.proof["warnings"]


@needs_corpus
@pytest.mark.parametrize("name", ["ocr/phototest.tif", "ocr/derived_pdkids_p28_low100.png"])
def test_text_is_read_when_asked(driver, tmp_path, name):
    photo = Photo(driver, tmp_path, CORPUS / name, preset="NEET 2026", ocr=True)
    assert photo.reason == "", photo.detail
    read = stage(photo, "ocr")
    assert read["state"] == "done" and read["words"] > 50 and 0.8 < read["confidence"] <= 1
    assert photo.answer["metrics"]["ocr_words"] == read["words"]
    assert not [warning for warning in photo.proof["warnings"] if "OCR" in warning]


@needs_corpus
def test_reading_changes_nothing_in_the_photo(driver, tmp_path):
    source = CORPUS / "img" / "exif_Landscape_6.jpg"
    read, unread = (Photo(driver, tmp_path, source, preset="NEET 2026", ocr=asked) for asked in (True, False))
    assert read.reason == unread.reason == "" and read.data == unread.data


def test_the_same_order_gives_the_same_bytes(driver, tmp_path):
    source = save(noise(500, 500).filter(ImageFilter.GaussianBlur(1)), tmp_path / "in.png")
    runs = [Photo(driver, tmp_path, source, preset="JEE Main 2026", clahe="on", denoise="on") for _ in range(2)]
    assert runs[0].data == runs[1].data and runs[0].proof == runs[1].proof


def test_each_stage_is_timed(driver, tmp_path):
    photo = Photo(driver, tmp_path, save(gradient(300, 300), tmp_path / "in.png"), preset="NEET 2026")
    assert {f"{name}_ms" for name in photo.proof["stages"]} <= set(photo.answer["metrics"])
