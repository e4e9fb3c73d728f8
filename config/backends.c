/* SPDX-License-Identifier: MIT
 * Which backends are in force, and what they need (backends.h). */
#include "config/backends.h"

#include <stddef.h>
#include <string.h>

#include "lib/text.h"

static const struct backend_row {
    const char *processor;
    const char *here; /* the backend of the runner */
    size_t backend;   /* a text; the option is <processor>-backend */
    const char *url_option;
    size_t url; /* a text */
} rows[] = {
    {.processor = "transcribe",
     .here = "pocketsphinx",
     .backend = offsetof(struct settings, transcribe_backend),
     .url_option = "transcribe-url",
     .url = offsetof(struct settings, transcribe_url)},
    {.processor = "wordlist",
     .here = "embedded",
     .backend = offsetof(struct settings, wordlist_backend),
     .url_option = "chat-url",
     .url = offsetof(struct settings, chat_url)},
    {.processor = "classify",
     .here = "embedded",
     .backend = offsetof(struct settings, classify_backend),
     .url_option = "chat-url",
     .url = offsetof(struct settings, chat_url)},
};

static const char *text_at(const struct settings *settings, size_t offset) {
    return *(char *const *)(const void *)((const char *)settings + offset);
}

static bool is_elsewhere(const struct settings *settings, const struct backend_row *row) {
    const char *backend = text_at(settings, row->backend);

    return backend != NULL && strcmp(backend, row->here) != 0;
}

bool backend_is_elsewhere(const struct settings *settings, const char *processor) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].processor, processor) == 0)
            return is_elsewhere(settings, &rows[i]);
    }
    return false;
}

int backends_check(const struct settings *settings, char *error, size_t error_size) {
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (is_elsewhere(settings, &rows[i]) && text_at(settings, rows[i].url) == NULL) {
            (void)text_format(error, error_size, "%s: needed where %s-backend is %s", rows[i].url_option,
                              rows[i].processor, text_at(settings, rows[i].backend));
            return -1;
        }
    }
    return 0;
}
