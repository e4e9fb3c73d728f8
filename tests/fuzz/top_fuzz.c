/* SPDX-License-Identifier: MIT
 * What `filemill top` is answered: two answers, divided by a NUL or in the middle. Every text of the model
 * ends, and no rate is below zero. */
#include "supervisor/top/model.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct top_model model;
    const uint8_t *nul = size > 0 ? memchr(bytes, '\0', size) : NULL;
    size_t half = nul != NULL ? (size_t)(nul - bytes) : size / 2;
    char *first = exact_text(bytes, half), *second = exact_text(bytes + half, size - half);
    struct top_sample *before = top_sample_new(first, 1),
                      *sample = top_sample_new(nul != NULL ? first : second, 2);

    if (sample != NULL) {
        top_model_fill(&model, sample, before);
        top_model_fill(&model, sample, NULL);
        require(model.service_count <= TOP_SERVICES_MAX &&
                memchr(model.version, '\0', sizeof model.version) != NULL);
        for (size_t i = 0; i < model.service_count; i++)
            require(memchr(model.services[i].note, '\0', sizeof model.services[i].note) != NULL);
    }
    top_sample_free(sample);
    top_sample_free(before);
    free(second);
    free(first);
    return 0;
}
