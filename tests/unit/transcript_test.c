/* SPDX-License-Identifier: MIT
 * Voice activity, the speech file, whisper's answers, and the formats of a transcript. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "workers/processors/speech.h"
#include "workers/processors/speech_file.h"
#include "workers/processors/transcript.h"
#include "workers/verbose_json.h"

/* --- voice activity ---------------------------------------------------------------------------------------
 */

#define SECONDS 10u
static int16_t sound[SECONDS * SPEECH_RATE];

static void fill(unsigned from_ms, unsigned to_ms, int loudness) {
    static uint32_t seed = 1;

    for (size_t i = from_ms * SPEECH_RATE / 1000u; i < to_ms * SPEECH_RATE / 1000u; i++) {
        seed = seed * 1664525u + 1013904223u;
        sound[i] = (int16_t)((int32_t)(seed >> 16) % (2 * loudness + 1) - loudness);
    }
}

static size_t find(struct speech_region regions[SPEECH_MAX_REGIONS]) {
    return speech_find(sound, SECONDS * 100, regions);
}

static void steady_sound_is_no_speech(void **state) {
    struct speech_region regions[SPEECH_MAX_REGIONS];
    static const int levels[] = {0, 1, 30, 1000, 16000};

    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        fill(0, SECONDS * 1000, levels[i]);
        assert_int_equal(find(regions), 0);
    }
    assert_int_equal(speech_find(sound, 0, regions), 0);
}

static void what_stands_out_is_speech(void **state) {
    struct speech_region regions[SPEECH_MAX_REGIONS];

    for (int noise = 5; noise <= 500; noise *= 10) {
        fill(0, SECONDS * 1000, noise);
        fill(2000, 3000, 20 * noise);
        fill(3400, 4000, 20 * noise); /* a short pause does not part it */
        fill(7000, 8000, 20 * noise);
        fill(9500, 9520, 20 * noise); /* a click */
        assert_int_equal(find(regions), 2);
        assert_in_range(regions[0].start, 170, 180);
        assert_in_range(regions[0].end, 420, 430);
        assert_in_range(regions[1].start, 670, 680);
        assert_in_range(regions[1].end, 820, 830);
    }
    fill(0, SECONDS * 1000, 1000);
    fill(5000, 5200, 10);
    assert_in_range(speech_quietest(sound, 300, 900), 505, 516);
}

/* --- the speech file --------------------------------------------------------------------------------------
 */

static size_t make_file(unsigned char *target, const struct speech_piece *pieces, size_t count) {
    struct speech_footer footer = {.magic = {'F', 'M', 'S', 'P', 'E', 'E', 'C', 'H'},
                                   .wav_bytes = 5,
                                   .pieces = count,
                                   .duration_ms = 20000,
                                   .speech_ms = 3000};
    size_t table = count * sizeof *pieces;

    memcpy(target, "wave!", 5);
    memcpy(target + 5, pieces, table);
    memcpy(target + 5 + table, &footer, sizeof footer);
    return 5 + table + sizeof footer;
}

static const struct speech_piece two_pieces[] = {{5000, 1000}, {10000, 2000}};

static void times_go_back_where_they_were(void **state) {
    static const uint64_t times[][2] = {{0, 5000},     {999, 5999},   {1000, 10000},
                                        {2999, 11999}, {3000, 12000}, {UINT64_MAX, 12000}};
    unsigned char bytes[200];
    struct speech_file file;
    size_t size = make_file(bytes, two_pieces, 2);

    assert_int_equal(speech_file_read(&file, bytes, size), 0);
    assert_int_equal(file.wav_size, 5);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        assert_int_equal(speech_file_time(&file, times[i][0]), times[i][1]);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(speech_file_read(&file, bytes, cut), -1);
    for (size_t i = size - sizeof(struct speech_footer); i < size - 16; i++) { /* magic, sizes */
        bytes[i] ^= 0x80;
        assert_int_equal(speech_file_read(&file, bytes, size), -1);
        bytes[i] ^= 0x80;
    }
}

/* --- formats ----------------------------------------------------------------------------------------------
 */

static struct transcript_piece piece(uint64_t start_ms, uint64_t end_ms, const char *text) {
    return (struct transcript_piece){start_ms, end_ms, 0.5, text, strlen(text)};
}

static void add(struct transcript *transcript, uint64_t start_ms, uint64_t end_ms, const char *text) {
    const struct transcript_piece one = piece(start_ms, end_ms, text);

    assert_int_equal(transcript_add_segment(transcript, &one), 0);
}

static void expect(const struct transcript *transcript,
                   int (*format)(const struct transcript *transcript, struct buffer *target),
                   const char *text) {
    struct buffer buffer;

    buffer_init(&buffer, 1 << 20);
    assert_int_equal(format(transcript, &buffer), 0);
    assert_string_equal(buffer.size == 0 ? "" : buffer.data, text);
    buffer_clear(&buffer);
}

static void an_empty_transcript_is_valid(void **state) {
    struct transcript transcript;

    transcript_init(&transcript);
    expect(&transcript, transcript_text, "");
    expect(&transcript, transcript_srt, "");
    expect(&transcript, transcript_vtt, "WEBVTT\n\n");
    expect(&transcript, transcript_json,
           "{\"engine\":\"\",\"model\":\"\",\"language\":\"\",\"duration_ms\":0,\"speech_ms\":0,\"segments\":"
           "[]}");
    transcript_clear(&transcript);
}

static void cues_have_their_form(void **state) {
    struct transcript transcript;

    transcript_init(&transcript);
    transcript.duration_ms = 36000000;
    add(&transcript, 0, 1500, " Fish &\n\tchips <b> --> now ");
    add(&transcript, 3723004, 3725000, "h\xc3\xa9llo");
    add(&transcript, 3724000, 3724000, "overlaps");
    expect(&transcript, transcript_srt,
           "1\n00:00:00,000 --> 00:00:01,500\nFish & chips <b> --> now\n\n"
           "2\n01:02:03,004 --> 01:02:05,000\nh\xc3\xa9llo\n\n"
           "3\n01:02:05,000 --> 01:02:05,001\noverlaps\n\n");
    expect(&transcript, transcript_vtt,
           "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nFish &amp; chips &lt;b&gt; --&gt; now\n\n"
           "01:02:03.004 --> 01:02:05.000\nh\xc3\xa9llo\n\n01:02:05.000 --> 01:02:05.001\noverlaps\n\n");
    expect(&transcript, transcript_text, "Fish & chips <b> --> now\nh\xc3\xa9llo overlaps\n");
    transcript_clear(&transcript);
}

/* No line over 42 characters, no cue over two lines, times that rise; all words are there in order. */
static void check_line(const char *line, size_t size, struct buffer *seen, unsigned *lines) {
    size_t characters = 0;

    if (memmem(line, size, " --> ", 5) != NULL) {
        assert_true(memcmp(line, line + 17, 12) < 0);
        assert_true(memcmp(line + 17, "00:01:00,000", 12) <= 0); /* nothing beyond the sound */
        *lines = 0;
        return;
    }
    if (size == 0 || strspn(line, "0123456789") == size)
        return;
    assert_true(++*lines <= 2);
    for (size_t i = 0; i < size; i++)
        characters += ((unsigned char)line[i] & 0xc0) != 0x80;
    assert_in_range(characters, 1, 42);
    assert_int_equal(buffer_append(seen, line, size), 0);
    if ((unsigned char)line[size - 1] < 0x80)
        assert_int_equal(buffer_append(seen, " ", 1), 0);
}

static void long_segments_are_cut(void **state) {
    struct transcript transcript;
    struct buffer buffer, text, seen;
    unsigned lines = 0;

    buffer_init(&buffer, 1 << 20);
    buffer_init(&text, 1 << 20);
    buffer_init(&seen, 1 << 20);
    for (int i = 0; i < 150; i++)
        assert_int_equal(buffer_append_text(&text, i % 3 == 0 ? "wonderful " : "you "), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(buffer_append_text(&text, "\xe3\x81\x82"), 0); /* no blanks: Japanese */
    transcript_init(&transcript);
    transcript.duration_ms = 60000;
    add(&transcript, 0, 600000, text.data);
    assert_int_equal(transcript_srt(&transcript, &buffer), 0);
    for (const char *line = buffer.data, *end; line != NULL && (end = strchr(line, '\n')) != NULL; line = end + 1)
        check_line(line, (size_t)(end - line), &seen, &lines);
    assert_string_equal(seen.data, text.data);
    buffer_clear(&buffer);
    buffer_clear(&text);
    buffer_clear(&seen);
    transcript_clear(&transcript);
}

static void times_are_put_right(void **state) {
    struct transcript transcript;
    const struct transcript_piece late = piece(9000, 12000, "late"), early = piece(100, 50, "early"),
                                  broken = {100, 200, 7, "\xff\xfe", 2}, blank = piece(100, 200, " \n ");

    transcript_init(&transcript);
    transcript.duration_ms = 10000;
    assert_int_equal(transcript_add_segment(&transcript, &late), 0);
    assert_int_equal(transcript_add_segment(&transcript, &early), 0);
    assert_int_equal(transcript_add_word(&transcript, &blank), 0);
    assert_int_equal(transcript_add_word(&transcript, &broken), 0);
    assert_int_equal(transcript.word_count, 0);
    assert_int_equal(transcript.segments[0].item.end_ms, 10000);
    assert_int_equal(transcript.segments[1].item.start_ms, 9000);
    assert_int_equal(transcript.segments[1].item.end_ms, 9000);
    transcript_clear(&transcript);
}

/* --- whisper's answers ------------------------------------------------------------------------------------
 */

static const struct {
    const char *json, *text; /* text NULL: refused */
} answers[] = {
    {"{\"text\":\"all of it\"}", "all of it\n"},
    {"{\"text\":\"\",\"segments\":[]}", ""},
    {"{\"segments\":[{\"start\":0,\"end\":1,\"text\":\" a\"},{\"start\":1,\"end\":3,\"text\":\"b \"}]}",
     "a\nb\n"},
    {"{\"segments\":[{\"start\":0,\"end\":1,\"text\":\"Thanks!\",\"avg_logprob\":-1.2,\"no_speech_prob\":0.8}"
     "]}",
     ""},
    {"{\"segments\":[{\"start\":0,\"end\":1,\"text\":\"quiet\",\"avg_logprob\":-1.2,\"no_speech_prob\":0.3}]"
     "}",
     "quiet\n"},
    {"{\"segments\":[{\"start\":-1e300,\"end\":1e300,\"text\":\"wild\"}]}", "wild\n"},
    {"{\"segments\":[{\"start\":0,\"end\":1}]}", NULL},
    {"{\"segments\":[[]]}", NULL},
    {"{\"error\":\"no\"}", NULL},
    {"[1]", NULL},
    {"{\"text\":\"cut", NULL},
    {"", NULL},
};

static void servers_are_not_trusted(void **state) {
    unsigned char bytes[200];
    struct speech_file file;

    assert_int_equal(speech_file_read(&file, bytes, make_file(bytes, two_pieces, 2)), 0);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct transcript transcript;
        const char *error;
        transcript_init(&transcript);
        transcript.duration_ms = file.duration_ms;
        assert_int_equal(
            verbose_json_read(&transcript, &file, answers[i].json, strlen(answers[i].json), &error),
            answers[i].text == NULL ? -1 : 0);
        if (answers[i].text != NULL)
            expect(&transcript, transcript_text, answers[i].text);
        transcript_clear(&transcript);
    }
}

/* OpenAI gives all words in one list beside the segments. */
static void words_find_their_segments(void **state) {
    static const char json[] =
        "{\"segments\":[{\"start\":0,\"end\":1,\"text\":\"a b\"},{\"start\":1,\"end\":3,\"text\":\"c\"}],"
        "\"words\":[{\"word\":\"a\",\"start\":0,\"end\":0.4},{\"word\":\"b\",\"start\":0.4,\"end\":1.1},"
        "{\"word\":\"c\",\"start\":1.2,\"end\":2}]}";
    struct transcript transcript;
    unsigned char bytes[200];
    struct speech_file file;
    const char *error;

    assert_int_equal(speech_file_read(&file, bytes, make_file(bytes, two_pieces, 2)), 0);
    transcript_init(&transcript);
    transcript.duration_ms = file.duration_ms;
    assert_int_equal(verbose_json_read(&transcript, &file, json, strlen(json), &error), 0);
    assert_int_equal(transcript.segment_count, 2);
    assert_int_equal(transcript.segments[0].word_count, 2);
    assert_int_equal(transcript.segments[1].word_count, 1);
    assert_int_equal(transcript.words[0].start_ms, 5000);
    assert_int_equal(transcript.words[2].start_ms, 10200);
    assert_int_equal(transcript.segments[0].item.end_ms,
                     6000); /* the end of a piece, not the start of the next */
    transcript_clear(&transcript);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steady_sound_is_no_speech),     cmocka_unit_test(what_stands_out_is_speech),
        cmocka_unit_test(times_go_back_where_they_were), cmocka_unit_test(an_empty_transcript_is_valid),
        cmocka_unit_test(cues_have_their_form),          cmocka_unit_test(long_segments_are_cut),
        cmocka_unit_test(times_are_put_right),           cmocka_unit_test(servers_are_not_trusted),
        cmocka_unit_test(words_find_their_segments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
