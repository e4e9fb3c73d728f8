# SPDX-License-Identifier: MIT
"""Waveforms out of a real runner: to the byte what audiowaveform publishes, and for every other sound what a few lines
of Python make of the same samples."""
import json
import shutil
import struct
import subprocess

import pytest

from driver import CORPUS

AUDIO = CORPUS / "audio"
MIB = 1 << 20
FIXTURES = [("test_file_stereo.wav", 8, "json", "test_file_stereo_8bit_64spp_wav.json"),
            ("test_file_stereo.wav", 8, "dat", "test_file_stereo_8bit_64spp_wav.dat"),
            ("test_file_stereo.wav", 16, "dat", "test_file_stereo_16bit_64spp_wav.dat"),
            ("test_file_stereo.mp3", 8, "json", "test_file_stereo_8bit_64spp_mp3.json"),
            ("test_file_stereo.mp3", 8, "dat", "test_file_stereo_8bit_64spp_mp3.dat")]
DURATIONS = {"jfk_mp3.mp3": 11018, "test_file_mono.flac": 7094, "test_file_stereo.mp3": 7094,
             "sample_10s_audio-m4a.m4a": 10007}
PCM_FILES = ["cards_001.wav", "jfk.wav", "leopard_de.wav", "leopard_en.wav", "leopard_ja.wav", "librivox_0870.wav",
             "silent_1s.wav", "test_file_stereo.wav"]
REFUSED = [AUDIO / "bad.wav", AUDIO / "goforward.raw", AUDIO / "testMP3truncated.mp3",
           CORPUS / "bad" / "ps_evil.wav", CORPUS / "bad" / "zero_byte.pdf", CORPUS / "bad" / "html_named.pdf"]
ENCODERS = {"opus.webm": "libopus", "vorbis.webm": "libvorbis", "vorbis.ogg": "libvorbis", "opus.opus": "libopus",
            "aac.m4a": "aac", "alac.m4a": "alac", "pcm.aiff": None, "pcm.caf": None, "aac.aac": "aac",
            "flac.flac": "flac", "aac.mov": "aac", "mp3.mp3": "libmp3lame", "float.wav": "pcm_f32le", "24.wav": "pcm_s24le"}

corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus: set FILEMILL_CORPUS")


class Drawn:
    def __init__(self, answer, folder):
        self.answer, self.reason = answer, answer["reason"]
        self.detail = answer["detail"]
        if not self.reason:
            self.raw = (folder / "w.json").read_bytes()
            self.dat = (folder / "w.dat").read_bytes()
            self.png = folder / "w.png"
            self.json = json.loads(self.raw)


def draw(driver, folder, path, parameters=None, mime="audio/wav", **limits):
    outputs = [str(folder / name) for name in ("w.json", "w.dat", "w.png")]
    return Drawn(driver.run("waveform", parameters, input=str(path), mime=mime, outputs=outputs, limits=limits), folder)


def wav(path, samples, channels=1, rate=8000, bits=16, form=1):
    """A WAV file of integers (8 bits unsigned, 16, 24) or, with form 3, of 32-bit floats."""
    pack = {8: lambda v: struct.pack("<B", v), 16: lambda v: struct.pack("<h", v),
            24: lambda v: struct.pack("<i", v)[:3], 32: lambda v: struct.pack("<f", v)}[bits]
    data = b"".join(pack(v) for v in samples)
    step = channels * bits // 8
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, form, channels, rate,
                         rate * step, step, bits, b"data", len(data))
    path.write_bytes(header + data)
    return path


def pcm_of(path):
    """Channels, rate and samples of a 16-bit WAV file."""
    data = path.read_bytes()
    channels, rate = struct.unpack_from("<HI", data, 22)
    at = data.index(b"data") + 8
    body = data[at:at + struct.unpack_from("<I", data, at - 4)[0]]
    return channels, rate, struct.unpack(f"<{len(body) // 2}h", body[:len(body) // 2 * 2])


def expected(channels, rate, samples, per_pixel=256, bits=16):
    """The JSON document of mixed channels, from the format's description."""
    mono = [int(sum(samples[i:i + channels]) / channels) for i in range(0, len(samples), channels)]
    points = [f(mono[i:i + per_pixel]) for i in range(0, len(mono), per_pixel) for f in (min, max)]
    points = [int(v / 256) if bits == 8 else v for v in points]
    head = {"version": 2, "channels": 1, "sample_rate": rate, "samples_per_pixel": per_pixel, "bits": bits,
            "length": len(points) // 2, "data": points}
    return json.dumps(head, separators=(",", ":")).encode() + b"\n"


@corpus
@pytest.mark.parametrize("name,bits,form,truth", FIXTURES)
def test_published_fixtures_to_the_byte(driver, tmp_path, name, bits, form, truth):
    drawn = draw(driver, tmp_path, AUDIO / name, {"samples_per_pixel": 64, "bits": bits})
    assert (drawn.raw if form == "json" else drawn.dat) == (AUDIO / truth).read_bytes()


@corpus
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", PCM_FILES)
def test_pcm_by_the_formats_description(driver, tmp_path, name, bits):
    drawn = draw(driver, tmp_path, AUDIO / name, {"bits": bits})
    assert drawn.raw == expected(*pcm_of(AUDIO / name), bits=bits)


@corpus
def test_every_sound_of_the_corpus_ends_well(driver, tmp_path):
    for path in sorted(AUDIO.iterdir()):
        if path.suffix in (".txt", ".json", ".dat"):
            continue
        drawn = draw(driver, tmp_path, path)
        if path in REFUSED:
            assert drawn.reason == "bad_input", (path.name, drawn.answer)
            continue
        assert drawn.reason == "", (path.name, drawn.answer)
        rate, per_pixel = drawn.json["sample_rate"], drawn.json["samples_per_pixel"]
        milliseconds = drawn.answer["metrics"]["duration_ms"]
        assert drawn.json["length"] == len(drawn.json["data"]) // 2 == len(drawn.dat[20:]) // 4
        assert abs(drawn.json["length"] - milliseconds * rate / 1000 / per_pixel) <= 2
        assert milliseconds == DURATIONS.get(path.name, milliseconds)
        assert path.name == "silent_1s.wav" or max(drawn.json["data"]) > 1000


@corpus
@pytest.mark.parametrize("path", REFUSED, ids=lambda p: p.name)
def test_what_is_no_sound_is_refused(driver, tmp_path, path):
    drawn = draw(driver, tmp_path, path)
    assert drawn.reason == "bad_input" and "not a sound file" in drawn.detail


@corpus
def test_sizes_in_headers_may_lie(driver, tmp_path):
    drawn = draw(driver, tmp_path, CORPUS / "bad" / "wav_data_size_4GiB.wav")
    assert drawn.reason == "" and drawn.answer["metrics"]["duration_ms"] == 500


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\nfile:///etc/passwd\n",
                                  "ffconcat version 1.0\nfile /etc/passwd\n",
                                  "1\n00:00:01,000 --> 00:00:02,000\nhello\n",
                                  "[Script Info]\nScriptType: v4.00+\n"])
def test_playlists_and_subtitles_are_no_sound(driver, tmp_path, text):
    path = tmp_path / "list"
    path.write_text(text)
    assert draw(driver, tmp_path, path).reason == "bad_input"


@pytest.mark.parametrize("name", ENCODERS)
def test_other_containers(driver, tmp_path, name):
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    path = tmp_path / name
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=3:sample_rate=48000", "-ac", "2"]
    codec = ["-c:a", ENCODERS[name]] if ENCODERS[name] else []
    subprocess.run(["ffmpeg", "-v", "error", *tone, *codec, path], check=True, timeout=60)
    drawn = draw(driver, tmp_path, path)
    assert drawn.reason == "", drawn.answer
    assert abs(drawn.answer["metrics"]["duration_ms"] - 3000) <= 60
    assert drawn.json["sample_rate"] == 48000
    assert 2700 < max(drawn.json["data"]) < 3200  # an eighth of full scale, 3 dB less on each of two channels


def test_a_film_without_sound(driver, tmp_path):
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    path = tmp_path / "film.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=duration=1", "-c:v", "mpeg4", path],
                   check=True, timeout=60)
    drawn = draw(driver, tmp_path, path, mime="video/mp4")
    assert (drawn.reason, drawn.detail) == ("bad_input", "no audio stream")


def test_silence_and_nothing(driver, tmp_path):
    silent = draw(driver, tmp_path, wav(tmp_path / "a.wav", [0] * 1000))
    assert silent.json["data"] == [0] * 8
    nothing = draw(driver, tmp_path, wav(tmp_path / "b.wav", []))
    assert nothing.raw == (b'{"version":2,"channels":1,"sample_rate":8000,"samples_per_pixel":256,"bits":16,'
                           b'"length":0,"data":[]}\n')
    assert nothing.dat == struct.pack("<IIIII", 1, 0, 8000, 256, 0)


def test_the_mean_is_cut_towards_zero(driver, tmp_path):
    drawn = draw(driver, tmp_path, wav(tmp_path / "a.wav", [-1, 0, 1, 0, -3, 0, 3, 0], channels=2),
                 {"samples_per_pixel": 2})
    assert drawn.json["data"] == [0, 0, -1, 1]
    drawn = draw(driver, tmp_path, wav(tmp_path / "b.wav", [-300, 300]), {"bits": 8, "samples_per_pixel": 2})
    assert drawn.json["data"] == [-1, 1]


def test_other_widths(driver, tmp_path):
    two = {"samples_per_pixel": 2}
    assert draw(driver, tmp_path, wav(tmp_path / "a.wav", [0, 255], bits=8), two).json["data"] == [-32768, 32512]
    assert draw(driver, tmp_path, wav(tmp_path / "b.wav", [-256, 0x7fffff], bits=24), two).json["data"] == [-1, 32767]
    assert draw(driver, tmp_path, wav(tmp_path / "c.wav", [-0.5, 2.0], bits=32, form=3), two).json["data"] == \
        [-16383, 32767]
    nan = draw(driver, tmp_path, wav(tmp_path / "d.wav", [float("nan"), float("-inf")], bits=32, form=3), two)
    assert nan.json["data"] == [-32768, 0]


def test_channels_apart(driver, tmp_path):
    drawn = draw(driver, tmp_path, wav(tmp_path / "a.wav", [1, -10, 2, -20, 3, -30], channels=2),
                 {"split_channels": True, "samples_per_pixel": 2})
    assert drawn.json["channels"] == 2 and drawn.json["length"] == 2
    assert drawn.json["data"] == [1, 2, -20, -10, 3, 3, -30, -30]
    assert drawn.dat == struct.pack("<IIIIII8h", 2, 0, 8000, 2, 2, 2, 1, 2, -20, -10, 3, 3, -30, -30)


@pytest.mark.parametrize("parameters", [{"samples_per_pixel": 1}, {"samples_per_pixel": "256"}, {"bits": 12},
                                        {"split_channels": 1}, {"width": 100000}, {"height": 0}, {"colour": "red"}])
def test_parameters_are_checked(driver, tmp_path, parameters):
    assert draw(driver, tmp_path, wav(tmp_path / "a.wav", [0]), parameters).reason == "bad_parameters"


def test_the_drawing(driver, tmp_path):
    image = pytest.importorskip("PIL.Image")
    loud_then_quiet = [(-20000, 20000)[i // 20 % 2] for i in range(4000)] + [0] * 4000
    path = wav(tmp_path / "a.wav", loud_then_quiet)

    def rows(picture, column):
        alpha = picture.getchannel("A")
        return [y for y in range(picture.height) if alpha.getpixel((column, y)) > 0]

    picture = image.open(draw(driver, tmp_path, path).png)
    assert (picture.size, picture.mode) == ((1800, 140), "RGBA")
    assert rows(picture, 100) == list(range(27, 113))
    assert len(rows(picture, 1700)) == 1
    picture = image.open(draw(driver, tmp_path, path, {"width": 64, "height": 32}).png)
    assert picture.size == (64, 32)
    assert not picture.info.get("exif")
    empty = image.open(draw(driver, tmp_path, wav(tmp_path / "b.wav", [])).png)
    assert empty.getchannel("A").getextrema() == (0, 0)


def test_memory_does_not_grow_with_the_sound(driver, tmp_path):
    path = wav(tmp_path / "a.wav", [], channels=2, rate=44100)
    frames = 20 * 60 * 44100
    with path.open("r+b") as file:
        file.seek(40)
        file.write(struct.pack("<I", frames * 4))
        file.truncate(44 + frames * 4)
    drawn = draw(driver, tmp_path, path, memory_bytes=16 * MIB)
    assert drawn.reason == "" and drawn.answer["metrics"]["duration_ms"] == 1200000


def test_too_many_points(driver, tmp_path):
    path = wav(tmp_path / "a.wav", [0] * 400000)
    assert draw(driver, tmp_path, path, {"samples_per_pixel": 2}, memory_bytes=2 * MIB).reason == "output_limit"
    assert draw(driver, tmp_path, path, {"samples_per_pixel": 2}, output_bytes=100000).reason == "output_limit"


def test_cut_files_end_in_a_right_result_or_a_typed_reason(driver, tmp_path):
    if not CORPUS.is_dir():
        pytest.skip("no corpus: set FILEMILL_CORPUS")
    for name in ("jfk_mp3.mp3", "test_file_mono.flac", "sample_10s_audio-m4a.m4a", "leopard_en.wav"):
        data = (AUDIO / name).read_bytes()
        for part in (1, 10, 100, 1000, len(data) // 3, len(data) - 7):
            path = tmp_path / "cut"
            path.write_bytes(data[:part])
            assert draw(driver, tmp_path, path).reason in ("", "bad_input", "unsupported_input"), (name, part)


def test_damaged_bytes_do_no_harm(driver, tmp_path):
    if not CORPUS.is_dir():
        pytest.skip("no corpus: set FILEMILL_CORPUS")
    for name in ("jfk_mp3.mp3", "test_file_mono.flac", "sample_10s_audio-m4a.m4a", "leopard_en.wav"):
        for seed in range(12):
            data = bytearray((AUDIO / name).read_bytes())
            for i in range(40):
                data[(seed * 7919 + i * i * 104729) % len(data)] = (seed * 31 + i * 17) % 256
            path = tmp_path / "damaged"
            path.write_bytes(data)
            drawn = draw(driver, tmp_path, path, cpu_seconds=20)
            assert drawn.reason in ("", "bad_input", "unsupported_input"), (name, seed, drawn.answer)
