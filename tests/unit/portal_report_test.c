/* SPDX-License-Identifier: MIT
 * What services outside say of portals' jobs: what is as described is taken, all else refused with nothing
 * missed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "storage/portal_report.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define USER "0b7e2a52-6e57-4bd1-9b6d-0c8a2d1f9a01"
#define JOB "3b7e2a52-6e57-4bd1-ab6d-0c8a2d1f9a04"
#define OTHER "4b7e2a52-6e57-4bd1-ab6d-0c8a2d1f9a05"
#define MASTER "'artifacts':{'master_path':'master/" USER "/" JOB "/" JOB ".enc'}"

/* Single quotes for double ones. */
static json_t *decode(const char *text) {
    char copy[2000];
    json_t *value;

    assert_true(strlen(text) < sizeof copy);
    for (size_t i = 0; i <= strlen(text); i++)
        copy[i] = text[i] == '\'' ? '"' : text[i];
    value = json_loads(copy, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    return value;
}

static const struct {
    const char *result;
    bool success;
    const char *refusal; /* its beginning; NULL: taken */
} rows[] = {
    {"{" MASTER "}", true, NULL},
    {"{'job_id':'" JOB "','status':'success'," MASTER "}", true, NULL},
    {"{'job_id':'3B7E2A52-6E57-4BD1-AB6D-0C8A2D1F9A04'," MASTER "}", true, NULL},
    {"{'job_id':'" OTHER "'," MASTER "}", true, "result.job_id"},
    {"{'status':'failed'," MASTER "}", true, "result.status"},
    {"{}", true, "artifacts.master_path"},
    {"[]", true, "artifacts.master_path"},
    {"1", true, "artifacts.master_path"},
    {"{'artifacts':[]}", true, "artifacts.master_path"},
    {"{'artifacts':{'master_path':'../etc/passwd'}}", true, ""},
    {"{'artifacts':{'master_path':'output/" USER "/" JOB "/a.jpg'}}", true, "an artifact's path"},
    {"{'artifacts':{'master_path':'master/" USER "/" JOB "/" JOB ".enc','preview_path':'output/" USER
     "/" OTHER "/p.jpg'}}",
     true, "the preview is another"},
    {"{'artifacts':{'master_path':'master/" USER "/" JOB "/" JOB ".enc','preview_path':'master/" USER "/" JOB
     "/" JOB ".enc'}}",
     true, "an artifact's path"},
    {"{'quality_score':1," MASTER "}", true, NULL},
    {"{'quality_score':1.01," MASTER "}", true, "quality_score"},
    {"{'quality_score':-1," MASTER "}", true, "quality_score"},
    {"{'quality_score':'1'," MASTER "}", true, "quality_score"},
    {"{'warnings':['a']," MASTER "}", true, NULL},
    {"{'warnings':[1]," MASTER "}", true, "warnings"},
    {"{'warnings':'a'," MASTER "}", true, "warnings"},
    {"{'metrics':{'a':1}," MASTER "}", true, NULL},
    {"{'metrics':[]," MASTER "}", true, "metrics"},
    {"{'error':{'code':'A','stage':'b'}}", false, NULL},
    {"{'error':{'code':'A','stage':'b','message':'','retryable':true}}", false, NULL},
    {"{'error':{'code':'A','stage':'b','retryable':1}}", false, "error is not"},
    {"{'error':{'code':'','stage':'b'}}", false, "error is not"},
    {"{'error':{'code':'A'}}", false, "error is not"},
    {"{'error':{'code':'A','stage':'b','surprise':1}}", false, "error is not"},
    {"{'error':'A'}", false, "error is not"},
    {"{}", false, "error is not"},
    {"null", false, "error is not"},
};

static void results_are_taken_as_described(void **state) {
    for (size_t i = 0; i < COUNT(rows); i++) {
        json_t *result = decode(rows[i].result), *detail = json_object();
        const char *refusal = portal_report_read(result, JOB, rows[i].success, detail);
        if (rows[i].refusal == NULL)
            assert_null(refusal);
        else
            assert_true(refusal != NULL && strncmp(refusal, rows[i].refusal, strlen(rows[i].refusal)) == 0);
        json_decref(result);
        json_decref(detail);
    }
}

static void sizes_have_ceilings(void **state) {
    json_t *result = decode("{'warnings':[],'metrics':{}," MASTER "}"), *detail = json_object();
    json_t *warnings = json_object_get(result, "warnings"), *metrics = json_object_get(result, "metrics");
    char text[5000];

    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < 32; i++)
        json_array_append_new(warnings, json_stringn(text, 300));
    json_object_set_new(metrics, "a", json_stringn(text, 4000));
    assert_null(portal_report_read(result, JOB, true, detail));
    json_object_set_new(metrics, "a", json_stringn(text, 4096));
    assert_non_null(portal_report_read(result, JOB, true, detail));
    json_object_clear(metrics);
    json_array_append_new(warnings, json_string(""));
    assert_non_null(portal_report_read(result, JOB, true, detail));
    json_array_clear(warnings);
    json_array_append_new(warnings, json_stringn(text, 301));
    assert_non_null(portal_report_read(result, JOB, true, detail));
    json_decref(result);
    json_decref(detail);
}

static void what_is_taken_is_told(void **state) {
    json_t *result = decode("{'quality_score':0.5,'warnings':['w'],'surprise':1," MASTER "}"),
           *detail = json_object();
    json_t *expected = decode("{'report':{'quality_score':0.5,'warnings':['w']},'master_path':'master/" USER
                              "/" JOB "/" JOB ".enc','master_user':'" USER "'}");

    assert_null(portal_report_read(result, JOB, true, detail));
    assert_true(json_equal(detail, expected));
    json_object_clear(detail);
    json_decref(result);
    json_decref(expected);
    result = decode("{'error':{'code':'A','stage':'b'}}");
    expected = decode("{'error':{'code':'A','stage':'b','retryable':false}}");
    assert_null(portal_report_read(result, JOB, false, detail));
    assert_true(json_equal(detail, expected));
    json_decref(result);
    json_decref(expected);
    json_decref(detail);
}

static const struct {
    const char *said, *external;
} names[] = {
    {"{'camber_job_id':'a-1'}", "a-1"},
    {"{'external_job_id':'b'}", "b"},
    {"{'camber_job_id':1}", NULL},
    {"{}", NULL},
    {"[]", NULL},
    {"{'camber_job_id':''}", NULL},
    {"{'camber_job_id':'../admin'}", NULL},
    {"{'camber_job_id':'a/b'}", NULL},
    {"{'camber_job_id':'a b'}", NULL},
    {"{'camber_job_id':'a?b'}", NULL},
    {"{'camber_job_id':'%2e%2e'}", NULL},
    {"{'camber_job_id':'\\n'}", NULL},
    {"{'camber_job_id':'urn:job:7'}", "urn:job:7"},
};

static void names_fit_into_a_path(void **state) {
    for (size_t i = 0; i < COUNT(names); i++) {
        json_t *said = decode(names[i].said);
        const char *external = portal_report_external(said);
        if (names[i].external == NULL)
            assert_null(external);
        else
            assert_string_equal(external, names[i].external);
        json_decref(said);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_taken_as_described),
        cmocka_unit_test(sizes_have_ceilings),
        cmocka_unit_test(what_is_taken_is_told),
        cmocka_unit_test(names_fit_into_a_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
