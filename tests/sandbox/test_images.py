# SPDX-License-Identifier: MIT
"""image_variants through a real runner: sizes, formats, colours, alpha, animations, orientation, and no metadata in
any byte, judged by Pillow, exiftool, libvips' tools and own readers of the formats."""
import json
import shutil
import subprocess

import pytest

from driver import CORPUS
from image_bytes import assert_bare, webp_chunks

PIL = pytest.importorskip("PIL", reason="python3-pil is not installed")
from PIL import Image, ImageChops, ImageCms, ImageStat  # noqa: E402

FORMATS = ("webp", "jpeg", "png", "avif")
MIME = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif", ".tif": "image/tiff",
        ".tiff": "image/tiff", ".heic": "image/heic", ".avif": "image/avif", ".bmp": "image/bmp",
        ".svg": "image/svg+xml"}
TYPED = {"bad_input", "unsupported_input", "too_many_pixels", "crash", "timeout", "no_progress", "cpu_limit",
         "memory_limit", "output_limit"}
LIMITS = {"cpu_seconds": 60, "wall_ms": 120000}
FORBIDDEN = ("GPS", "EXIF", "XMP", "IPTC", "ICC", "Photoshop", "JFIF:Comment", "File:Comment")
PICTURES = sorted(p for folder in ("img", "bad", "ocr") if (CORPUS / folder).is_dir()
                  for p in (CORPUS / folder).iterdir() if p.suffix.lower() in MIME)
needs_corpus = pytest.mark.skipif(not PICTURES, reason="no corpus: set FILEMILL_CORPUS")


class Variants:
    """The answer, and by (format, number of the size) path and facts of what was written."""

    def __init__(self, driver, folder, path, mime, **parameters):
        limits = {**LIMITS, **parameters.pop("limits", {})}
        slots = [(kind, size) for kind in FORMATS for size in (1, 2)]
        paths = [folder / f"variant_{size}.{kind}" for kind, size in slots]
        self.answer = driver.run("image_variants", parameters, input=str(path), mime=mime, limits=limits,
                                 outputs=[str(p) for p in paths])
        self.reason = self.answer["reason"]
        self.made = {}
        for slot, path, facts in zip(slots, paths, self.answer["metadata"]):
            if not self.reason and facts:
                self.made[slot] = (path, facts)

    def image(self, kind, size=1):
        return opened(self.made[kind, size][0])


def opened(path):
    """With Pillow; what it can't read, through libvips' tools."""
    if path.suffix == ".avif":
        png = path.with_suffix(".avif.png")
        subprocess.run(["vips", "copy", path, png], check=True, capture_output=True)
        path = png
    image = Image.open(path)
    image.load()
    return image


def tags(path):
    done = subprocess.run(["exiftool", "-j", "-G", path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)[0]


def difference(left, right):
    """Mean over pixels and channels."""
    return sum(ImageStat.Stat(ImageChops.difference(left.convert("RGB"), right.convert("RGB"))).mean) / 3


def save(image, path, **options):
    image.save(path, **options)
    return path


def gradient(width, height):
    image = Image.new("RGB", (width, height))
    image.putdata([(x * 255 // width, y * 255 // height, (x + y) % 256) for y in range(height) for x in range(width)])
    return image


# --- the corpus ---------------------------------------------------------------------------------------------

@needs_corpus
@pytest.mark.parametrize("path", PICTURES, ids=lambda p: p.name)
def test_every_picture_ends_well(driver, tmp_path, path):
    result = Variants(driver, tmp_path, path, MIME[path.suffix.lower()], sizes=[64, 320], formats=list(FORMATS))
    if result.reason:
        assert result.reason in TYPED
        return
    assert len(result.made) == 8
    source = sorted((result.answer["metrics"]["width"], result.answer["metrics"]["height"]))
    for (kind, size), (output, facts) in result.made.items():
        image = opened(output)
        assert image.size == (facts["width"], facts["height"])
        assert max(image.size) <= (64, 320)[size - 1]
        assert all(got <= had for got, had in zip(sorted(image.size), source)), "enlarged"
        assert_bare(kind, output.read_bytes())


@needs_corpus
@pytest.mark.parametrize("name,mime,reason", [
    ("bad/png_bomb_30000x30000_gray8.png", "image/png", "too_many_pixels"),
    ("img/vips_17000x17000.avif", "image/avif", "too_many_pixels"),
    ("img/vips_truncated.jpg", "image/jpeg", "bad_input"),
    ("img/sharp_truncated.png", "image/png", "bad_input"),
    ("bad/pdf_named.jpg", "image/jpeg", "bad_input"),
    ("bad/svg_billion_laughs.svg", "image/svg+xml", "unsupported_input"),
    ("img/pil_hopper.gif", "image/png", "bad_input"),
])
def test_bad_pictures_have_reasons(driver, tmp_path, name, mime, reason):
    assert Variants(driver, tmp_path, CORPUS / name, mime).reason == reason


# --- sizes and formats --------------------------------------------------------------------------------------

def test_defaults_are_two_webps(driver, tmp_path):
    source = save(gradient(2000, 1000), tmp_path / "in.png")
    result = Variants(driver, tmp_path, source, "image/png")
    assert {slot: result.image(*slot).size for slot in result.made} == {("webp", 1): (400, 200), ("webp", 2): (1600, 800)}


def test_small_pictures_stay_small(driver, tmp_path):
    source = save(gradient(50, 30), tmp_path / "in.png")
    result = Variants(driver, tmp_path, source, "image/png", formats=list(FORMATS))
    assert {result.image(*slot).size for slot in result.made} == {(50, 30)}


@pytest.mark.parametrize("kind,most", [("png", 0), ("jpeg", 5), ("webp", 5), ("avif", 5)])
def test_pixels_survive(driver, tmp_path, kind, most):
    source = save(gradient(200, 120), tmp_path / "in.png")
    result = Variants(driver, tmp_path, source, "image/png", formats=[kind], quality=95, sizes=[400])
    assert list(result.made) == [(kind, 1)]
    assert difference(result.image(kind), Image.open(source)) <= most


@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
def test_quality_costs_bytes(driver, tmp_path, kind):
    source = save(gradient(400, 400), tmp_path / "in.png")
    sizes = []
    for quality in (20, {kind: 60}, 95):
        result = Variants(driver, tmp_path, source, "image/png", formats=[kind], quality=quality, sizes=[400])
        sizes.append(result.made[kind, 1][0].stat().st_size)
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("parameters", [
    {"sizes": []}, {"sizes": [1, 2, 3]}, {"sizes": [15]}, {"sizes": [8193]}, {"sizes": ["400"]}, {"sizes": 400},
    {"formats": []}, {"formats": ["gif"]}, {"formats": "webp"}, {"quality": 0}, {"quality": 101}, {"quality": {"png": 80}},
    {"animation": "all"}, {"background": "red"}, {"background": "#12345"}, {"size": [400]},
])
def test_bad_parameters(driver, tmp_path, parameters):
    source = save(gradient(20, 20), tmp_path / "in.png")
    assert Variants(driver, tmp_path, source, "image/png", **parameters).reason == "bad_parameters"


# --- metadata -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_no_metadata_in_any_format(driver, tmp_path, suffix):
    """The input has what must not come out: otherwise this shows nothing."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")
    source = save(gradient(300, 200), tmp_path / f"in{suffix}",
                  icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-GPSLatitude=52.5", "-GPSLatitudeRef=N", "-Artist=someone",
                    "-XMP:Creator=someone", "-Comment=someone", source], check=True)
    assert "EXIF:GPSLatitude" in tags(source) and "XMP:Creator" in tags(source) 
    assert Image.open(source).info["icc_profile"]
    result = Variants(driver, tmp_path, source, MIME[suffix], formats=list(FORMATS), sizes=[100, 300])
    assert len(result.made) == 8
    for (kind, _), (output, _) in result.made.items():
        assert not [tag for tag in tags(output) if tag.startswith(FORBIDDEN)]
        assert b"someone" not in output.read_bytes()
        assert_bare(kind, output.read_bytes())


@pytest.mark.parametrize("width", [511, 512, 1300])
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exact": True}], ids=["lossy", "lossless", "alpha"])
def test_wide_webp_is_read_without_threads(driver, tmp_path, width, options):
    image = gradient(width, 200)
    if "exact" in options:
        image.putalpha(200)
    result = Variants(driver, tmp_path, save(image, tmp_path / "in.webp", **options), "image/webp", formats=["png"],
                      sizes=[2000])
    assert result.reason == "", result.answer
    assert difference(result.image("png"), image) < 5


# --- orientation and colour ---------------------------------------------------------------------------------

@needs_corpus
@pytest.mark.parametrize("kind", FORMATS)
def test_all_eight_orientations_are_upright(driver, tmp_path, kind):
    pictures = []
    for orientation in range(1, 9):
        source = CORPUS / "img" / f"exif_Landscape_{orientation}.jpg"
        result = Variants(driver, tmp_path, source, "image/jpeg", formats=[kind], sizes=[300])
        pictures.append(result.image(kind).copy())
        assert pictures[-1].size == (300, 200)
    assert difference(pictures[0], pictures[0].rotate(180)) > 20, "the picture must show which way it lies"
    for picture in pictures[1:]:
        assert difference(pictures[0], picture) < 4


def reference_in_srgb(path):
    """By Little CMS through Pillow, from the embedded profile."""
    import io
    image = Image.open(path)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    image = image.convert("RGB") if alpha else image
    return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB",
                                     renderingIntent=ImageCms.Intent.PERCEPTUAL)


@needs_corpus
@pytest.mark.parametrize("name,mime,most", [
    ("sharp_p3.png", "image/png", 2),
    ("sharp_Channel_digital_image_CMYK_color.jpg", "image/jpeg", 4),
    ("vips_sample-xyb.jpg", "image/jpeg", 6),
])
def test_colours_are_srgb(driver, tmp_path, name, mime, most):
    result = Variants(driver, tmp_path, CORPUS / "img" / name, mime, formats=["png"], sizes=[200])
    got = result.image("png").convert("RGB")
    expected = reference_in_srgb(CORPUS / "img" / name).resize(got.size, Image.LANCZOS, reducing_gap=None)
    assert difference(got, expected) < most


def test_sixteen_bits_become_eight(driver, tmp_path):
    source = tmp_path / "in.png"
    Image.new("I;16", (64, 64), 0x8080).save(source)
    result = Variants(driver, tmp_path, source, "image/png", formats=["png"])
    assert result.image("png").convert("RGB").getextrema() == ((0x80, 0x80),) * 3


# --- alpha --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("background", [(255, 255, 255), (18, 52, 86)])
def test_alpha_is_kept_or_flattened(driver, tmp_path, background):
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (32, 0, 64, 64))
    source = save(image, tmp_path / "in.png")
    colour = "#%02x%02x%02x" % background
    result = Variants(driver, tmp_path, source, "image/png", formats=list(FORMATS), background=colour, sizes=[64],
                      quality=95)
    for kind in ("webp", "png", "avif"):
        picture = result.image(kind).convert("RGBA")
        assert picture.getpixel((8, 32))[3] > 250 and picture.getpixel((56, 32))[3] < 5
    flat = result.image("jpeg")
    assert flat.mode == "RGB"
    assert all(abs(got - wanted) < 6 for got, wanted in zip(flat.getpixel((56, 32)), background))


# --- animations ---------------------------------------------------------------------------------------------

COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]


def movie(path):
    frames = [Image.new("RGB", (120, 80), colour) for colour in COLOURS]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 200, 300, 400], loop=3,
                   **({"lossless": True} if path.suffix == ".webp" else {}))
    return path


def frame_facts(path):
    """[(milliseconds, colour of the middle)], loops."""
    image = Image.open(path)
    chunks = webp_chunks(path.read_bytes())
    durations = [int.from_bytes(payload[12:15], "little") for name, payload in chunks if name == "ANMF"]
    loops = next((int.from_bytes(payload[4:6], "little") for name, payload in chunks if name == "ANIM"), None)
    middles = []
    for i in range(getattr(image, "n_frames", 1)):
        image.seek(i)
        middles.append(image.convert("RGB").getpixel((image.width // 2, image.height // 2)))
    return list(zip(durations, middles)), loops


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations_are_kept_when_asked(driver, tmp_path, suffix):
    source = movie(tmp_path / f"in{suffix}")
    result = Variants(driver, tmp_path, source, MIME[suffix], animation="keep", sizes=[60], formats=["webp", "jpeg"])
    output, facts = result.made["webp", 1]
    assert facts["frames"] == 4 and (facts["width"], facts["height"]) == (60, 40)
    frames, loops = frame_facts(output)
    assert loops == {".gif": 4, ".webp": 3}[suffix], "GIF counts the repetitions, WebP the runs"
    assert [ms for ms, _ in frames] == [100, 200, 300, 400]
    for (_, got), wanted in zip(frames, COLOURS):
        assert max(abs(a - b) for a, b in zip(got, wanted)) < 12
    assert_bare("webp", output.read_bytes())
    assert difference(result.image("jpeg"), Image.new("RGB", (60, 40), COLOURS[0])) < 4, "the others show the first"


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_the_first_frame_is_the_default(driver, tmp_path, suffix):
    result = Variants(driver, tmp_path, movie(tmp_path / f"in{suffix}"), MIME[suffix], sizes=[60])
    image = result.image("webp")
    assert getattr(image, "n_frames", 1) == 1
    assert difference(image, Image.new("RGB", (60, 40), COLOURS[0])) < 6


def test_frames_count_together(driver, tmp_path):
    source = movie(tmp_path / "in.gif")
    pixels = 120 * 80
    for allowed, reason in ((4 * pixels, ""), (4 * pixels - 1, "too_many_pixels")):
        result = Variants(driver, tmp_path, source, "image/gif", animation="keep", limits={"pixels": allowed})
        assert result.reason == reason
    assert Variants(driver, tmp_path, source, "image/gif", limits={"pixels": pixels}).reason == "", "one frame is asked"
