/* SPDX-License-Identifier: MIT
 * Forms: a Content-Type up to the first line end, then the body. However the body is cut, the same parts,
 * bytes and end come out; names are of their sizes, and no data is more than was fed. */
#include "gateway/form.h"
#include "lib/buffer.h"
#include "tests/fuzz/fuzz.h"

#define MOST_PARTS 20

static void note_part(struct buffer *seen, const struct form_part *part) {
    require(strnlen(part->filename, FORM_FILENAME_SIZE) < FORM_FILENAME_SIZE &&
            strchr(part->filename, '/') == NULL);
    require(!part->has_filename || part->filename[0] != '\0');
    require(buffer_append_format(seen, "[%s|%s|%s]", part->name, part->has_filename ? part->filename : "",
                                 part->type) == 0);
}

/* All that is ready; false when there will be no more. */
static bool drain(struct form *form, struct buffer *seen) {
    for (;;) {
        size_t size;
        const char *data;

        switch (form_next(form)) {
        case FORM_MORE:
            return true;
        case FORM_PART:
            note_part(seen, form_part(form));
            break;
        case FORM_DATA:
            data = form_data(form, &size);
            require(size > 0 && buffer_append(seen, data, size) == 0);
            break;
        case FORM_PART_END:
            require(buffer_append_text(seen, "<end>") == 0);
            break;
        case FORM_END:
            require(buffer_append_text(seen, "<all>") == 0);
            break;
        case FORM_BROKEN:
            require(form_error(form) != NULL && buffer_append_text(seen, "<broken>") == 0);
            return false;
        }
    }
}

static void read_form(const char *type, const uint8_t *bytes, size_t size, size_t step, struct buffer *seen) {
    struct form *form = form_new(type, MOST_PARTS);

    buffer_init(seen, 1 << 20);
    for (size_t at = 0; form != NULL && at < size; at += step) {
        size_t piece = size - at < step ? size - at : step;
        char *copy = exact_copy(bytes + at, piece);
        int fed = form_feed(form, copy, piece);

        free(copy);
        require(fed == 0);
        if (!drain(form, seen))
            break;
    }
    form_free(form);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const size_t steps[] = {1, 3, 50};
    const uint8_t *line = size > 0 ? memchr(bytes, '\n', size) : NULL;
    size_t head = line != NULL ? (size_t)(line - bytes) : size;
    size_t rest = line != NULL ? size - head - 1 : 0;
    char *type = exact_text(bytes, head);
    struct buffer whole, cut;

    read_form(type, bytes + (size - rest), rest, rest + 1, &whole);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        read_form(type, bytes + (size - rest), rest, steps[i], &cut);
        require(strstr(whole.data, "<broken>") != NULL ||
                (cut.size == whole.size && memcmp(cut.data, whole.data, cut.size) == 0));
        buffer_clear(&cut);
    }
    buffer_clear(&whole);
    free(type);
    return 0;
}
