/* SPDX-License-Identifier: MIT
 * What the engines need beside their libraries: languages, dictionaries, a model; and whether Tesseract reads
 * a line in a time that makes sense, in a runner as workers start it. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "doctor/doctor.h"
#include "doctor/page.h"
#include "lib/text.h"
#include "workers/processors/dictionary.h"

#define NAMES_SIZE 300
#define ANSWER_SIZE 4096
#define READ_MS_MOST 3000 /* 60 ms on an idle core; threads that fight for one take 200 times as long */
#define LANGUAGE_ENDING ".traineddata"
#define DICTIONARY_ENDING ".index"

/* Names in a folder with this ending, without it, in order, as many as fit; how many there are. */
static int list_names(const char *folder, const char *ending, char *target) {
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, NULL, alphasort), found = 0;
    size_t used = 0;

    target[0] = '\0';
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        if (text_ends_with(name, ending)) {
            int length = (int)(strlen(name) - strlen(ending));
            if (text_format(target + used, NAMES_SIZE - used, "%s%.*s", found > 0 ? " " : "", length, name) !=
                0)
                target[used] = '\0';
            used += strlen(target + used);
            found++;
        }
        free(entries[i]);
    }
    free(entries);
    return found;
}

static bool has_language(const char *folder, const char *name, int length) {
    char path[1024];

    return text_format(path, sizeof path, "%s/%.*s" LANGUAGE_ENDING, folder, length, name) == 0 &&
           access(path, R_OK) == 0;
}

static void check_languages(struct doctor *doctor) {
    const char *folder = doctor->settings.ocr_data, *wanted = doctor->settings.ocr_languages;
    char names[NAMES_SIZE];
    bool whole = true, turns = has_language(folder, "osd", 3);

    for (const char *at = wanted; whole && *at != '\0'; at += at[strcspn(at, "+")] == '+') {
        int length = (int)strcspn(at, "+");
        whole = has_language(folder, at, length);
        at += length;
    }
    (void)list_names(folder, LANGUAGE_ENDING, names);
    doctor_note(doctor, "engine.languages",
                !whole  ? VERDICT_FAIL
                : turns ? VERDICT_OK
                        : VERDICT_WARN,
                whole ? "Install tesseract-ocr-osd: pages that lie on their side are not turned without."
                      : "Install tesseract-ocr-<language>, or name others in FILEMILL_OCR_LANGUAGES.",
                "%s installed; %s unless a job asks otherwise", names[0] != '\0' ? names : "none", wanted);
}

static void check_dictionaries(struct doctor *doctor) {
    char names[NAMES_SIZE];
    int count = list_names(DICTIONARY_FOLDER, DICTIONARY_ENDING, names);

    doctor_note(doctor, "engine.dictionaries", count > 0 ? VERDICT_OK : VERDICT_WARN,
                "Only word lists need them, for translations: install dict-freedict-<from>-<to>.", "%d: %s",
                count, count > 0 ? names : "none installed");
}

static void check_speech(struct doctor *doctor) {
    const struct settings *settings = &doctor->settings;
    bool there = access(settings->transcribe_data, R_OK | X_OK) == 0;

    if (!settings->transcribe)
        doctor_note(doctor, "engine.speech", VERDICT_OK, "", "transcription is off");
    else
        doctor_note(doctor, "engine.speech", there ? VERDICT_OK : VERDICT_WARN,
                    "Install pocketsphinx-en-us, name a server, or set FILEMILL_TRANSCRIBE=off.",
                    "PocketSphinx' model is %s", there ? "installed" : "not there");
}

static void check_reading(struct doctor *doctor) {
    static const char *const arguments[] = {"ocr", "--param", "languages=eng", "--output", "ocr_text", NULL};
    int page = memfd_create("page", MFD_CLOEXEC);
    char answer[ANSWER_SIZE] = "";
    const char *told;
    long wall_ms = -1;

    if (page >= 0 && write(page, page_png, sizeof page_png) == (ssize_t)sizeof page_png &&
        lseek(page, 0, SEEK_SET) == 0)
        (void)doctor_program("filemill-run", arguments, page, answer, sizeof answer);
    if (page >= 0)
        close(page);
    told = strstr(answer, "\"wall_ms\":");
    if (told != NULL)
        wall_ms = strtol(told + strlen("\"wall_ms\":"), NULL, 10);
    if (strstr(answer, PAGE_WORDS) == NULL || wall_ms < 0)
        doctor_note(doctor, "engine.ocr", VERDICT_FAIL,
                    "See the sandbox's checks above, and whether tesseract-ocr-eng is installed.",
                    "not read: %.300s", answer[0] != '\0' ? answer : "the runner gave no answer");
    else
        doctor_note(doctor, "engine.ocr", wall_ms > READ_MS_MOST ? VERDICT_WARN : VERDICT_OK,
                    "This machine has no core to spare, or its Tesseract ignores OMP_THREAD_LIMIT: set "
                    "FILEMILL_WORKER_SLOTS lower, and look at what else runs.",
                    "a line was read in %ld ms, with OMP_THREAD_LIMIT=1 as in workers", wall_ms);
}

void doctor_engines(struct doctor *doctor) {
    check_languages(doctor);
    check_reading(doctor);
    check_dictionaries(doctor);
    check_speech(doctor);
}
