/* SPDX-License-Identifier: MIT
 * Parameters of jobs against the catalog: every default fits its own row, and each kind of value is judged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/parameters.h"
#include "proto/processors.h"
#include <stdlib.h>
#include <string.h>

static bool fits(const char *type, const char *text) {
    json_t *parameters = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(parameters);
    json_t *errors = parameters_check(catalog_find(type), parameters);
    bool good = errors == NULL;
    json_decref(errors);
    json_decref(parameters);
    return good;
}

static void every_row_is_a_processor_and_its_defaults_fit(void **state) {
    for (size_t i = 0; i < catalog_row_count; i++) {
        const struct catalog_row *row = &catalog_rows[i];
        assert_non_null(processor_find(row->type));
        assert_ptr_equal(catalog_find(row->type), row);
        assert_true(row->version >= 1 && row->summary != NULL && row->media[0] != NULL);
        json_t *schema = parameters_schema(row);
        assert_non_null(schema);
        json_decref(schema);
        json_t *parameters = json_object();
        for (const struct parameter_row *at = row->parameters; at != NULL && at->name != NULL; at++) {
            if (at->fallback != NULL) {
                json_t *value = json_loads(at->fallback, JSON_DECODE_ANY, NULL);
                assert_non_null(value);
                json_object_set_new(parameters, at->name, value);
            }
        }
        assert_null(parameters_check(row, parameters));
        json_decref(parameters);
    }
    assert_null(catalog_find("selftest"));
    assert_null(catalog_find("noop"));
    assert_null(catalog_find(""));
}

static void values_fit_or_not(void **state) {
    static const struct {
        const char *type, *parameters;
        bool good;
    } cases[] = {
        {"ocr", "{}", true},
        {"ocr", "[]", false},
        {"ocr", "{\"pages\":\"1-5,9\",\"languages\":\"eng+deu\",\"dpi\":70,\"outputs\":[\"pdf\"]}", true},
        {"ocr", "{\"pages\":\"needed\"}", true},
        {"ocr", "{\"pages\":\"3-\"}", true},
        {"ocr", "{\"pages\":\"\"}", false},
        {"ocr", "{\"pages\":\"-3\"}", false},
        {"ocr", "{\"pages\":\"3--\"}", false},
        {"ocr", "{\"pages\":\"1,,2\"}", false},
        {"ocr", "{\"pages\":\"99999999999999999999999\"}", false},
        {"ocr", "{\"pages\":\"1-100001\"}", false},
        {"ocr", "{\"pages\":1}", false},
        {"ocr", "{\"languages\":\"\"}", false},
        {"ocr", "{\"languages\":\"eng/../x\"}", false},
        {"ocr", "{\"dpi\":601}", false},
        {"ocr", "{\"dpi\":300.0}", false},
        {"ocr", "{\"outputs\":[\"text\",\"doc\"]}", false},
        {"ocr", "{\"outputs\":\"text\"}", false},
        {"image_variants", "{\"sizes\":[16,8192],\"formats\":[\"webp\",\"png\"]}", true},
        {"image_variants", "{\"sizes\":[]}", false},
        {"image_variants", "{\"sizes\":[15]}", false},
        {"image_variants", "{\"quality\":100}", true},
        {"image_variants", "{\"quality\":{\"webp\":1,\"avif\":100}}", true},
        {"image_variants", "{\"quality\":{\"webp\":101}}", false},
        {"image_variants", "{\"quality\":{\"png\":1}}", false},
        {"image_variants", "{\"quality\":\"80\"}", false},
        {"image_variants", "{\"background\":\"#00ff7F\"}", true},
        {"image_variants", "{\"background\":\"#00ff7\"}", false},
        {"image_variants", "{\"animation\":\"keep\"}", true},
        {"image_variants", "{\"animation\":true}", false},
        {"portal_photo", "{\"crop\":\"attention\",\"ocr\":true}", true},
        {"portal_photo", "{\"crop\":{\"left\":0.1,\"top\":0,\"width\":0.8,\"height\":1}}", true},
        {"portal_photo", "{\"crop\":{\"left\":-0.1}}", false},
        {"portal_photo", "{\"ocr\":1}", false},
        {"portal_photo", "{\"schema\":{\"target_width\":200,\"background\":\"white\"}}", true},
        {"portal_photo", "{\"schema\":{\"target_width\":0}}", false},
        {"portal_photo", "{\"schema\":[]}", false},
        {"portal_photo", "{\"portal_schema\":{\"id\":7,\"schema_definition\":{\"dpi\":200}}}", true},
        {"portal_photo", "{\"portal_schema\":{\"schema_definition\":{\"dpi\":0}}}", false},
        {"waveform", "{\"bits\":8}", true},
        {"waveform", "{\"bits\":16}", true},
        {"waveform", "{\"bits\":9}", false},
        {"extract_pdf", "{}", true},
        {"extract_pdf", "{\"any\":1}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (fits(cases[i].type, cases[i].parameters) != cases[i].good) {
            fail_msg("%s %s", cases[i].type, cases[i].parameters);
        }
    }
}

static void a_refusal_names_the_place_and_what_would_be_right(void **state) {
    json_t *parameters = json_loads("{\"schema\":{\"max_kb\":-1},\"crop\":7}", 0, NULL);
    json_t *errors = parameters_check(catalog_find("portal_photo"), parameters);
    const char *words = json_string_value(json_array_get(json_object_get(errors, "schema.max_kb"), 0));
    assert_string_equal(words, "Expected an integer from 0 to 65536");
    words = json_string_value(json_array_get(json_object_get(errors, "crop"), 0));
    assert_string_equal(words, "Expected one of centre|attention; or an object");
    json_decref(errors);
    json_decref(parameters);
}

static void long_parameters_are_refused(void **state) {
    char text[3000 + 40] = "{\"pages\":\"";
    for (size_t i = strlen(text); i < 3000; i += 2) {
        memcpy(text + i, "1,", 3);
    }
    memcpy(text + strlen(text), "1\"}", 4);
    assert_true(fits("ocr", text));
    json_t *long_one = json_object();
    char *pages = calloc(1, PARAMETERS_MAX_BYTES + 2);
    for (size_t i = 0; i < PARAMETERS_MAX_BYTES; i += 2) {
        memcpy(pages + i, "1,", 2);
    }
    pages[PARAMETERS_MAX_BYTES] = '1';
    json_object_set_new(long_one, "pages", json_string(pages));
    json_t *errors = parameters_check(catalog_find("ocr"), long_one);
    assert_non_null(errors);
    json_decref(errors);
    json_decref(long_one);
    free(pages);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_a_processor_and_its_defaults_fit),
        cmocka_unit_test(values_fit_or_not),
        cmocka_unit_test(a_refusal_names_the_place_and_what_would_be_right),
        cmocka_unit_test(long_parameters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
