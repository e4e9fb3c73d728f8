# SPDX-License-Identifier: MIT
"""Rich Text Format through extract_office: generated documents, written as Word, LibreOffice and WordPad write them."""
import json
import random

import pytest

from driver import Driver

RTF = "application/rtf"


@pytest.fixture
def extract(driver, tmp_path):
    def run(source, mime=RTF, **limits):
        path, text, meta = (tmp_path / name for name in ("input", "text", "meta"))
        path.write_bytes(source if isinstance(source, bytes) else source.encode("ascii"))
        answer = driver.run("extract_office", input=str(path), mime=mime, outputs=[str(text), str(meta)],
                            limits={"cpu_seconds": 20, **limits})
        if answer["reason"] == "":
            answer["text"] = text.read_bytes().decode("utf-8")
            answer["meta"] = json.loads(meta.read_text())
        return answer
    return run


HEAD = (r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\froman\fcharset0 Times New Roman;}{\f1\fswiss\fcharset204 Arial;}"
        r"{\f2\fcharset128 MS Mincho;}{\f3\fcharset238 Arial CE;}{\f4\fcharset161{\*\falt Arial}Greek;}}")

RULES = {
    "paragraphs": (r"one\par two\line three\par", "one\ntwo\nthree\n"),
    "the last one needs no end": (r"one\par two", "one\ntwo\n"),
    "words end at a space, which is theirs": (r"a\b b\b0  c\par", "ab c\n"),
    "line ends of the file are nothing": ("a\r\nb\nc\\par", "abc\n"),
    "a line end that is escaped is a paragraph": ("a\\\nb\\\r\nc", "a\nb\nc\n"),
    "braces and backslashes": (r"\{\\\}", "{\\}\n"),
    "tabs and special characters": (r"a\tab b\~c\_d\emdash e\ldblquote f\rdblquote\bullet\par",
                                    "a\tb\u00a0c\u2011d\u2014e\u201cf\u201d\u2022\n"),
    "an optional hyphen is nothing": (r"co\-operate", "cooperate\n"),
    "the document's code page": (r"caf\'e9 \'80", "caf\u00e9 \u20ac\n"),
    "upper and lower hex digits": (r"\'E9\'e9", "\u00e9\u00e9\n"),
    "a font's code page": (r"{\f1 \'cf\'f0\'e8\'e2\'e5\'f2} caf\'e9", "\u041f\u0440\u0438\u0432\u0435\u0442 caf\u00e9\n"),
    "a font of two bytes": (r"{\f2 \'93\'fa\'96\'7b\'8c\'ea}", "\u65e5\u672c\u8a9e\n"),
    "plain goes back to the default font": (r"\f3 \'b9\plain \'b9", "\u0105\u00b9\n"),
    "fonts with alternatives": (r"\f4 \'e1", "\u03b1\n"),
    "unicode with a fallback": (r"\u8364?\u233\'e9x", "\u20ac\u00e9x\n"),
    "negative unicode": (r"\u-10179?\u-8704?", "\U0001f600\n"),
    "unicode without fallback": (r"\uc0\u8364\u8364 x", "\u20ac\u20acx\n"),
    "unicode with long fallback": (r"{\uc2\u26085\'93\'fa}b\u233?c", "\u65e5b\u00e9c\n"),
    "the fallback ends with its group": (r"{\u8364}abc", "\u20acabc\n"),
    "half a surrogate": (r"\u-10179?x", "x\n"),
    "unknown destinations are skipped": (r"a{\*\unknown secret {\b more}}b{\*\generator LibreOffice;}", "ab\n"),
    "unknown words are not": (r"a{\unknown b}c", "abc\n"),
    "pictures": (r"a{\*\shppict{\pict\pngblip\picw1 89504e470d0a}}{\nonshppict{\pict\wmetafile8 0100}}b", "ab\n"),
    "binary": ("a{\\pict\\bin9 }}}{{{\\\\\\}b", "ab\n"),
    "objects": (r"a{\object\objemb{\*\objdata 0105}{\result{\pict 00}}}b", "ab\n"),
    "fields": (r'{\field{\*\fldinst HYPERLINK "http://a.example/"}{\fldrslt link}}', "link\n"),
    "styles and colours": (r"{\stylesheet{\s0 Normal;}}{\colortbl;\red0\green0\blue0;}a", "a\n"),
    "boxes stand once": (r"a{\shp{\*\shpinst\shpleft1{\sp{\sn n}{\sv v}}{\shptxt box}}{\shprslt{\*\do box}}}", "abox\n"),
    "footnotes": (r"a{\footnote note}b", "anoteb\n"),
    "comments": (r"a{\*\atnid AB}{\*\atnauthor who}{\*\annotation remark}b", "ab\n"),
    "list numbers": (r"{\listtext\pard\plain 1.\tab}first\par{\pntext 2.\tab}second", "first\nsecond\n"),
    "deletions": (r"a{\deleted gone}b{\revised new}", "abnew\n"),
    "index entries": (r"a{\xe entry}{\tc heading}b", "ab\n"),
}


@pytest.mark.parametrize("rule", RULES)
def test_rules(extract, rule):
    source, expected = RULES[rule]
    answer = extract(HEAD + source + "}")
    assert answer["reason"] == "" and answer["text"] == expected
    assert answer["meta"]["format"] == "rtf"


def test_tables(extract):
    row = r"\trowd\cellx1000\cellx2000\cellx3000\pard\intbl {}\cell {}\cell {}\cell\row "
    source = HEAD + r"before\par " + row.format("a", "b", "c") + row.format("d", "", r"e\par f") + r"\pard after\par}"
    answer = extract(source)
    assert answer["text"] == "before\na\tb\tc\nd\t\te f\nafter\n"
    assert answer["metrics"]["tables"] == 1
    two = extract(HEAD + row.format("a", "b", "c") + r"\pard between\par " + row.format("d", "e", "f") + r"\pard x\par}")
    assert two["metrics"]["tables"] == 2 and two["text"] == "a\tb\tc\nbetween\nd\te\tf\nx\n"


def test_facts(extract):
    answer = extract(HEAD + r"{\info{\title A caf\'e9}{\author \u26085?}{\creatim\yr2024}{\company c}}{\v hidden}text\par}")
    assert answer["text"] == "hiddentext\n"
    assert answer["meta"]["title"] == "A caf\u00e9" and answer["meta"]["author"] == "\u65e5"
    assert answer["meta"]["hidden_runs"] == 1 and answer["meta"]["paragraphs"] == 1
    assert answer["metrics"]["paragraphs"] == 1


LIBREOFFICE = r"""{\rtf1\ansi\deff3\adeflang1025
{\fonttbl{\f0\froman\fprq2\fcharset0 Times New Roman;}{\f3\froman\fprq2\fcharset0 Liberation Serif{\*\falt Times New Roman};}{\f5\fnil\fprq2\fcharset0 DejaVu Sans;}}
{\colortbl;\red0\green0\blue0;}
{\stylesheet{\s0\snext0\rtlch\af7\afs24 \ltrch\lang1033\langfe2052\hich\af3\loch\nowidctlpar\f3\fs24 Normal;}
{\*\cs15\snext15 Bullets;}}{\*\generator LibreOffice/7.4.7.2$Linux_X86_64 LibreOffice_project}{\info{\title Report}{\creatim\yr2024\mo1\dy2}{\printim\yr0\mo0\dy0}}{\*\userprops}\deftab709
\hyphauto1\viewscale100\formshade\paperh15840\paperw12240\sectd\sbknone
{\*\ftnsep\chftnsep}\pgndec\pard\plain \s0\rtlch\af7\afs24\alang1081 \ltrch\lang1033\langfe2052\hich\af3\loch\nowidctlpar{\rtlch \ltrch\loch
Gr\u252\'fc\u223\'dfe aus K\u246\'f6ln}
\par \pard\plain \s0 {\b\rtlch \ltrch\loch
Zweiter} {\rtlch \ltrch\loch Absatz}
\par }"""

WORD = (r"{\rtf1\adeflang1025\ansi\ansicpg1252\uc1\adeff31507\deff0\stshfdbch31506\themelang1033{\fonttbl{\f0\fbidi \froman"
        r"\fcharset0\fprq2{\*\panose 02020603050405020304}Times New Roman;}{\fdbmajor\f31501\fbidi \froman\fcharset0 Times;}}"
        r"{\*\themedata 504b0304}{\*\colorschememapping 3c3f786d6c}{\*\latentstyles\lsdstimax376{\lsdlockedexcept \lsdqformat1 "
        r"Normal;heading 1;}}{\*\datastore 0105}{\*\rsidtbl \rsid1}{\mmathPr\mmathFont34}{\header \pard\plain head\par }"
        r"\pard\plain \ltrpar\ql {\rtlch\fcs1 \af31507 \ltrch\fcs0 \insrsid1 Hello \loch\af0\dbch\af31505\hich\f0 \'93quoted\'94}"
        r"{\insrsid1 \par }{\*\xmlnstbl }}")


def test_as_programs_write_it(extract):
    assert extract(LIBREOFFICE)["text"] == "Gr\u00fc\u00dfe aus K\u00f6ln\nZweiter Absatz\n"
    assert extract(LIBREOFFICE)["meta"]["title"] == "Report"
    assert extract(WORD)["text"] == "head\nHello \u201cquoted\u201d\n"
    wordpad = r"{\rtf1\ansi\deff0\nouicompat{\fonttbl{\f0\fnil\fcharset0 Calibri;}}{\*\generator Riched20 10.0;}\viewkind4\uc1" \
              r"\pard\sa200\f0\fs22\lang9 Just text.\par" "\r\n}\r\n\0"
    assert extract(wordpad)["text"] == "Just text.\n"


def test_a_long_text_of_two_bytes_is_not_cut(extract):
    """Longer than what is decoded at a time, at an odd place."""
    escaped = "".join(f"\\'{byte:02x}" for byte in ("x" + "\u65e5\u672c\u8a9e" * 5000).encode("cp932"))
    answer = extract(HEAD + r"\f2 " + escaped + "}")
    assert answer["text"] == "x" + "\u65e5\u672c\u8a9e" * 5000 + "\n"


def test_other_names(extract):
    assert extract(HEAD + "a}", mime="text/rtf")["text"] == "a\n"
    assert extract(HEAD + "a}", mime="text/plain")["text"] == "a\n"
    assert extract("no rtf")["reason"] == "bad_input"
    assert extract("{\\rtf1 a}ignored {\\b b}")["text"] == "a\n"


def test_groups_are_bounded(extract):
    assert extract("{\\rtf1 " + "{" * 1_000_000)["reason"] == "bad_input"
    assert extract("{\\rtf1 " + "{" * 90 + "a" + "}" * 91)["text"] == "a\n"
    assert extract("{\\rtf1 " + "}" * 1000 + "a")["reason"] == ""


def test_characters_are_bounded(tmp_path):
    path = tmp_path / "input"
    path.write_bytes(b"{\\rtf1 " + b"x" * 2000 + b"}")
    with Driver(limit_characters=1000) as short:
        assert short.run("extract_office", input=str(path), mime=RTF, outputs=[None, None])["reason"] == "output_limit"


@pytest.mark.parametrize("source", [
    "{\\rtf1 \\bin99999999999999999999 a", "{\\rtf1 \\bin-5 a}", "{\\rtf1 \\u99999999999999?a", "{\\rtf1 \\'", "{\\rtf1 \\'x",
    "{\\rtf1 \\", "{\\rtf1 " + "\\" + "a" * 100000 + "1" * 100000, "{\\rtf1\\uc99999999 \\u8364 abc", "{\\rtf1\\f-7\\f99999999 a}",
    "{\\rtf1\\ansicpg99999999 \\'e9}", "{\\rtf1\\ansicpg1 \\'e9}", "{\\rtf1{\\fonttbl\\f70000\\fcharset204}\\f70000 a}",
    "{\\rtf1\\trowd" + "\\cell" * 100000 + "a\\row}",
])
def test_nonsense_ends_well(extract, source):
    answer = extract(source, cpu_seconds=5)
    assert answer["reason"] in ("", "bad_input"), answer


def test_damaged_bytes_do_no_harm(extract):
    source = (LIBREOFFICE + HEAD[1:] + "".join(text for text, _ in RULES.values())).encode("ascii")
    for seed in range(40):
        chance, data = random.Random(seed), bytearray(source)
        for _ in range(chance.randrange(1, 40)):
            data[chance.randrange(7, len(data))] = chance.choice([*b"{}\\'*u0129 bin", chance.randrange(256)])
        assert extract(bytes(data))["reason"] in ("", "bad_input"), seed
