/* SPDX-License-Identifier: MIT
 * Media types and plans: what bytes show, which declared types can hold it, which jobs follow. With the
 * corpus at hand (FILEMILL_CORPUS or ../shared/corpus) every file of it is told by its bytes as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/memory.h"
#include "lib/text.h"
#include "proto/catalog.h"
#include "proto/plan.h"
#include "proto/processors.h"

#define SNIFF_BYTES 4096
#define DOCX "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
#define XLSX "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
#define PPTX "application/vnd.openxmlformats-officedocument.presentationml.presentation"
#define ZIP_ENTRY(name) "PK\3\4\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x13\0\0\0" name

struct sniff_case {
    const char *bytes;
    size_t size;
    const char *media_type;
};

#define BYTES(literal) literal, sizeof(literal) - 1

static const char *sniff_copy(const char *bytes, size_t size) {
    unsigned char *exact = malloc(size > 0 ? size : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    const char *media_type = media_type_sniff(exact, size);
    free(exact);
    return media_type;
}

static const struct sniff_case sniff_cases[] = {
    {BYTES("%PDF-1.7\n"), "application/pdf"},
    {BYTES("\r\n\x80junk\r\n%PDF-1.4"), "application/pdf"},
    {BYTES("\x89PNG\r\n\x1a\n"), "image/png"},
    {BYTES("\x89PNG"), NULL},
    {BYTES("\xff\xd8\xff\xe0"), "image/jpeg"},
    {BYTES("GIF89a"), "image/gif"},
    {BYTES("RIFF\x10\0\0\0WEBPVP8 "), "image/webp"},
    {BYTES("RIFF\x10\0\0\0WAVEfmt "), "audio/wav"},
    {BYTES("RIFF\x10\0\0\0XXXX"), NULL},
    {BYTES("II*\0\x08\0\0\0"), "image/tiff"},
    {BYTES("MM\0*\0\0\0\x08"), "image/tiff"},
    {BYTES("BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"), "image/bmp"},
    {BYTES("BM is a text"), "text/plain"},
    {BYTES("\0\0\0\x18"
           "ftypheic\0\0\0\0mif1heic"),
     "image/heic"},
    {BYTES("\0\0\0\x18"
           "ftypmif1\0\0\0\0mif1heic"),
     "image/heic"},
    {BYTES("\0\0\0\x18"
           "ftypmif1\0\0\0\0mif1miaf"),
     "image/heif"},
    {BYTES("\0\0\0\x18"
           "ftypavif\0\0\0\0mif1miaf"),
     "image/avif"},
    {BYTES("\0\0\0\x18"
           "ftypM4A \0\0\0\0M4A mp42"),
     "audio/mp4"},
    {BYTES("\0\0\0\x18"
           "ftypisom\0\0\0\0isommp41"),
     "video/mp4"},
    {BYTES("\0\0\0\x14"
           "ftypqt  \0\0\0\0qt  "),
     "video/quicktime"},
    {BYTES("\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm"), "video/webm"},
    {BYTES("\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x88matroska"), "video/x-matroska"},
    {BYTES("\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm\xae\x86\x86"
           "A_OPUS"),
     "audio/webm"},
    {BYTES("\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm\x86\x86"
           "A_OPUS\x86\x85V_VP9"),
     "video/webm"},
    {BYTES("\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska\x86\x86"
           "A_FLAC"),
     "audio/x-matroska"},
    {BYTES("caff\0\1\0\0desc"), "audio/x-caf"},
    {BYTES("ID3\x04\0\0\0\0\0\0"), "audio/mpeg"},
    /* texts from before Unicode, and UTF-16 with its mark */
    {BYTES("\xff\xfeh\0i\0\n\0"), "text/plain"},
    {BYTES("\xfe\xff\0h\0i"), "text/plain"},
    {BYTES("\xff\xfeh\0\0\0i\0"), NULL},
    {BYTES("caf\xe9 cr\xe8me et th\xe9"), "text/plain"},
    {BYTES("\x8a\xbf\x8e\x9a\x82\xcd\x81\x41\x96\xbc\x91\x4f\x82\xcd"), NULL},
    {BYTES("caf\xe9 cr\xe8me\1 et th\xe9"), NULL},
    {BYTES("\xff\xfb\x90\x64"), "audio/mpeg"},
    {BYTES("\xff\xfe"
           "h\0e\0l\0l\0o\0"),
     "text/plain"}, /* UTF-16, not a frame of layer I */
    {BYTES("\xff\xf1\x50\x80"), "audio/aac"},
    {BYTES("fLaC\0\0\0\x22"), "audio/flac"},
    {BYTES("OggS\0\x02"), "audio/ogg"},
    {BYTES("PK\5\6\0\0"), "application/zip"},
    {BYTES(ZIP_ENTRY("readme.txt")), "application/zip"},
    {BYTES(ZIP_ENTRY("word/notes.txt")), "application/zip"},
    {BYTES(ZIP_ENTRY("[Content_Types].xml....") ZIP_ENTRY("word/document.xml")), DOCX},
    {BYTES(ZIP_ENTRY("xl/workbook.xml....") ZIP_ENTRY("[Content_Types].xml")), XLSX},
    {BYTES(ZIP_ENTRY("_rels/.rels....") ZIP_ENTRY("ppt/presentation.xml")), PPTX},
    {BYTES(ZIP_ENTRY("mimetypeapplication/epub+zip")), "application/epub+zip"},
    {BYTES("<svg xmlns='http://www.w3.org/2000/svg'/>"), "image/svg+xml"},
    {BYTES("\xef\xbb\xbf<?xml version='1.0'?><!-- c --><svg >"), "image/svg+xml"},
    {BYTES("<?xml version='1.0'?><!DOCTYPE s [<!ENTITY a 'b'>]><svg >"), "image/svg+xml"},
    {BYTES("<?xml version='1.0'?><note/>"), "application/xml"},
    {BYTES("  <!DOCTYPE HTML><title>x</title>"), "text/html"},
    {BYTES("<!-- c --><html lang=en>"), "text/html"},
    {BYTES("<html ><!-- %PDF-1.4 -->"), "text/html"},
    {BYTES("<?xml version='1.0'?><html xmlns='x'>"), "application/xhtml+xml"},
    {BYTES("plain\ttext\r\n"), "text/plain"},
    {BYTES("caf\xc3\xa9"), "text/plain"},
    {BYTES("caf\xe9"), NULL},
    {BYTES("a\0b"), NULL},
    {BYTES("a\x1b[31m"), NULL},
    {BYTES("\xe2"), NULL},
    {BYTES(""), NULL},
    {BYTES("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "application/x-ole-storage"},
    {BYTES("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1..E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0"),
     "application/encrypted"},
};

static void bytes_show_their_type(void **state) {
    for (size_t i = 0; i < sizeof sniff_cases / sizeof sniff_cases[0]; i++) {
        const char *media_type = sniff_copy(sniff_cases[i].bytes, sniff_cases[i].size);
        if (media_type == NULL || sniff_cases[i].media_type == NULL) {
            if (media_type != sniff_cases[i].media_type) {
                fail_msg("case %zu: %s", i, media_type != NULL ? media_type : "(unknown)");
            }
            continue;
        }
        assert_string_equal(media_type, sniff_cases[i].media_type);
    }
}

static void a_pdf_header_counts_in_the_first_kilobyte_only(void **state) {
    char bytes[2000];
    memset(bytes, 1, sizeof bytes);
    memcpy(bytes + 1023, "%PDF-1.4", 8);
    assert_string_equal(sniff_copy(bytes, sizeof bytes), "application/pdf");
    memset(bytes, 1, sizeof bytes);
    memcpy(bytes + 1024, "%PDF-1.4", 8);
    assert_null(sniff_copy(bytes, sizeof bytes));
}

/* A short one that does is not UTF-8; it is a text of an older encoding if it is long or plain enough. */
static void only_a_long_text_may_end_inside_a_character(void **state) {
    char bytes[1026];
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes + 1024, "\xe2\x82", 2);
    assert_string_equal(sniff_copy(bytes, sizeof bytes), "text/plain");
    assert_null(sniff_copy(bytes + 1014, sizeof bytes - 1014));
    assert_string_equal(sniff_copy(bytes + 1000, sizeof bytes - 1000), "text/plain");
}

static void random_bytes_are_no_text(void **state) {
    char bytes[SNIFF_BYTES];
    uint32_t seed = 1;
    for (unsigned round = 0; round < 2000; round++) {
        size_t size = 64 + round * 2;
        for (size_t i = 0; i < size && i < sizeof bytes; i++) {
            seed = seed * 1664525u + 1013904223u;
            bytes[i] = (char)(seed >> 24);
        }
        const char *media_type = sniff_copy(bytes, size < sizeof bytes ? size : sizeof bytes);
        assert_true(media_type == NULL || strcmp(media_type, "text/plain") != 0);
    }
}

/* Every prefix of every sample, and noise: nothing is read behind the end (ASan watches). */
static void short_and_random_bytes_do_no_harm(void **state) {
    static const char sample[] = "\0\0\0\x18"
                                 "ftypmif1\0\0\0\0mif1heic<?xml <!DOCTYPE html <!-- PK\3\4 %PDF";
    static const char alphabet[] = "<!?->svghtmlPK\3\4 \xff\xfb%";
    uint64_t random_state = 88172645463325252u;
    char bytes[512];
    for (size_t start = 0; start < sizeof sample; start++) {
        for (size_t size = 0; start + size < sizeof sample; size++) {
            (void)sniff_copy(sample + start, size);
        }
    }
    for (unsigned round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            random_state = random_state * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = alphabet[(random_state >> 40) % (sizeof alphabet - 1)];
        }
        (void)sniff_copy(bytes, (size_t)(random_state >> 33) % sizeof bytes);
    }
}

struct agree_case {
    const char *declared;
    const char *sniffed;
    bool agrees;
};

static void declared_types_are_held_to_the_bytes(void **state) {
    static const struct agree_case cases[] = {
        {"application/pdf", "application/pdf", true},
        {"Application/PDF; version=1.7", "application/pdf", true},
        {"application/octet-stream", "application/pdf", true},
        {"application/octet-stream", NULL, true},
        {"image/jpg", "image/jpeg", true},
        {"image/png", "image/jpeg", false},
        {"image/jpeg", "application/pdf", false},
        {"application/pdf", "text/html", false},
        {"application/pdf", "application/zip", false},
        {"application/pdf", NULL, false},
        {"image/png", NULL, false},
        {"text/plain", NULL, true},
        {"text/csv; charset=latin1", NULL, true},
        {"text/csv", "text/plain", true},
        {"text/csv", "text/html", false},
        {"text/plain", "text/html", true},
        {"text/plain", "application/pdf", false},
        {"text/html", "text/plain", true},
        {"image/svg+xml", "text/plain", false},
        {"image/svg+xml", "image/svg+xml", true},
        {"image/png", "image/svg+xml", false},
        {"application/json", "text/plain", true},
        {"application/ld+json", "text/plain", true},
        {"application/json", "text/html", false},
        {"text/xml", "application/xml", true},
        {DOCX, DOCX, true},
        {DOCX, XLSX, false},
        {DOCX, "application/zip", true},
        {DOCX, "application/x-ole-storage", true},
        {DOCX, "application/encrypted", true},
        {"application/pdf", "application/encrypted", false},
        {"application/zip", DOCX, true},
        {"application/msword", "application/x-ole-storage", true},
        {"application/msword", "application/zip", false},
        {"audio/x-m4a", "audio/mp4", true},
        {"audio/mp4", "video/mp4", true},
        {"audio/mp3", "audio/mpeg", true},
        {"audio/x-wav", "audio/wav", true},
        {"audio/mpeg", "audio/wav", false},
        {"image/heif", "image/heic", true},
        {"image/avif", "image/heic", false},
        {"video/webm", "video/x-matroska", true},
        {"audio/webm", "audio/webm", true},
        {"video/webm", "audio/webm", true},
        {"audio/x-matroska", "audio/x-matroska", true},
        {"video/x-matroska", "audio/x-matroska", true},
        {"audio/mpeg", "audio/webm", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (media_type_agrees(cases[i].declared, cases[i].sniffed) != cases[i].agrees) {
            fail_msg("%s, %s", cases[i].declared, cases[i].sniffed != NULL ? cases[i].sniffed : "(unknown)");
        }
    }
}

static void the_syntax_of_media_types_is_checked(void **state) {
    static const char *const valid[] = {
        "text/plain",
        "TEXT/Plain",
        "image/svg+xml",
        "text/plain; charset=utf-8",
        "text/plain;a=b ; c=\"d;\\\"e\"",
        "application/vnd.ms-excel",
    };
    static const char *const invalid[] = {
        "",
        "text",
        "text/",
        "/plain",
        "text/plain;",
        "text/plain; charset",
        "text /html",
        "text/pl ain",
        "text/plain;=",
        "text/plain; a=",
        "text/plain; a=\"b",
        "text/plain\r\nX: y",
        "text/pl\303",
        "te<t/plain",
        "text/plain, text/html",
        "text/plain; a=\"b\\",
        "text/plain x",
    };
    char *text = memory_format("text/%0195d", 0);
    assert_true(media_type_is_valid(text));
    free(text);
    text = memory_format("text/%0196d", 0);
    assert_false(media_type_is_valid(text));
    free(text);
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++) {
        if (!media_type_is_valid(valid[i])) {
            fail_msg("refused: %s", valid[i]);
        }
    }
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++) {
        if (media_type_is_valid(invalid[i])) {
            fail_msg("taken: %s", invalid[i]);
        }
    }
}

static void plans_name_processors_that_exist(void **state) {
    static const char *const planned[] = {"application/pdf", "image/jpeg", "image/png",
                                          "image/webp",      "image/gif",  "image/tiff",
                                          "image/heic",      "image/heif", "image/avif",
                                          "audio/wav",       "audio/mpeg", "audio/webm",
                                          "text/plain",      "text/csv",   DOCX,
                                          XLSX,              PPTX,         "application/vnd.oasis.opendocument.text",
                                          "application/rtf"};
    static const char *const stored_only[] = {"image/svg+xml",   "image/bmp", "text/html",
                                              "application/zip", "video/mp4", "",          "application/postscript"};
    const struct plan_job *jobs[PLAN_MAX_JOBS];
    for (size_t i = 0; i < sizeof planned / sizeof planned[0]; i++) {
        size_t count = plan_jobs(planned[i], jobs);
        assert_true(count > 0);
        for (size_t job = 0; job < count; job++) {
            const struct catalog_row *row = catalog_find(jobs[job]->type);
            assert_non_null(processor_find(jobs[job]->type));
            assert_true(row != NULL && catalog_takes(row, planned[i]));
            assert_in_range(jobs[job]->priority, 0, 3);
        }
    }
    for (size_t i = 0; i < sizeof stored_only / sizeof stored_only[0]; i++) {
        assert_int_equal(plan_jobs(stored_only[i], jobs), 0);
    }
    assert_int_equal(plan_jobs("application/pdf", jobs), 3);
    assert_string_equal(jobs[0]->type, "extract_pdf");
    assert_string_equal(jobs[1]->type, "thumbnail");
    assert_string_equal(jobs[2]->type, "ocr");
    assert_string_equal(jobs[2]->parameters, "{\"pages\":\"needed\"}");
    assert_int_equal(plan_jobs("image/png", jobs), 3);
    assert_string_equal(jobs[0]->type, "thumbnail"); /* first in line, and first in its band */
    assert_true(jobs[0]->priority < jobs[1]->priority && jobs[1]->extra && jobs[2]->extra);
}

static void the_processors_table_is_sound(void **state) {
    assert_true(processor_row_count >= 4);
    assert_null(processor_find("nothing"));
    assert_int_equal(processor_find("noop")->output_count, 0);
    assert_int_equal(processor_find("extract_pdf")->output_count, 2);
    for (size_t i = 0; i < processor_row_count; i++) {
        const struct processor_row *row = &processor_rows[i];
        assert_ptr_equal(processor_find(row->name), row);
        assert_true(row->wall_ms > 0 && row->no_progress_ms > 0 && row->no_progress_ms <= row->wall_ms);
        assert_true(row->cpu_seconds > 0 && row->memory_bytes > 0 && row->output_bytes > 0);
        assert_true(row->profile <= PROFILE_NETWORK);
        for (size_t output = 0; output < row->output_count; output++) {
            assert_true(strlen(row->outputs[output].kind) > 0);
            assert_true(strlen(row->outputs[output].extension) > 0);
            assert_null(strchr(row->outputs[output].extension, '.')); /* no key could be made */
            assert_true(media_type_is_valid(row->outputs[output].mime));
        }
    }
}

/* Good files of the corpus: the bytes must agree with the ending of the name. */
static void the_corpus_is_told_by_its_bytes(void **state) {
    static const struct {
        const char *ending;
        const char *media_type;
    } rows[] = {{".pdf", "application/pdf"},
                {".png", "image/png"},
                {".jpg", "image/jpeg"},
                {".gif", "image/gif"},
                {".webp", "image/webp"},
                {".tif", "image/tiff"},
                {".bmp", "image/bmp"},
                {".heic", "image/heic"},
                {".avif", "image/avif"},
                {".svg", "image/svg+xml"},
                {".wav", "audio/wav"},
                {".mp3", "audio/mpeg"},
                {".flac", "audio/flac"},
                {".m4a", "audio/mp4"},
                {".docx", DOCX},
                {".xlsx", XLSX},
                {".txt", "text/plain"},
                {".zip", "application/zip"}};
    const char *corpus = getenv("FILEMILL_CORPUS");
    char path[1024];
    char line[8192];
    unsigned seen = 0;
    corpus = corpus != NULL ? corpus : "../shared/corpus";
    (void)text_format(path, sizeof path, "%s/MANIFEST.tsv", corpus);
    FILE *manifest = fopen(path, "r");
    if (manifest == NULL) {
        print_message("skipped: no corpus at %s\n", corpus);
        skip();
    }
    while (fgets(line, sizeof line, manifest) != NULL) {
        unsigned char bytes[SNIFF_BYTES];
        line[strcspn(line, "\t")] = '\0';
        (void)text_format(path, sizeof path, "%s/%s", corpus, line);
        FILE *file = text_starts_with(line, "bad/") ? NULL : fopen(path, "rb");
        if (file == NULL) {
            continue;
        }
        const char *media_type = media_type_sniff(bytes, fread(bytes, 1, sizeof bytes, file));
        assert_int_equal(fclose(file), 0);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            if (text_ends_with(line, rows[i].ending)) {
                seen++;
                if (!media_type_agrees(rows[i].media_type, media_type)) {
                    fail_msg("%s: %s", line, media_type != NULL ? media_type : "(unknown)");
                }
            }
        }
    }
    assert_int_equal(fclose(manifest), 0);
    assert_true(seen > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_show_their_type),
        cmocka_unit_test(a_pdf_header_counts_in_the_first_kilobyte_only),
        cmocka_unit_test(only_a_long_text_may_end_inside_a_character),
        cmocka_unit_test(random_bytes_are_no_text),
        cmocka_unit_test(short_and_random_bytes_do_no_harm),
        cmocka_unit_test(declared_types_are_held_to_the_bytes),
        cmocka_unit_test(the_syntax_of_media_types_is_checked),
        cmocka_unit_test(plans_name_processors_that_exist),
        cmocka_unit_test(the_processors_table_is_sound),
        cmocka_unit_test(the_corpus_is_told_by_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
