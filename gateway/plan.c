/* SPDX-License-Identifier: MIT
 * Plans; see plan.h. */
#include "gateway/plan.h"

#include "gateway/json.h"
#include "gateway/parameters.h"
#include "lib/text.h"
#include "proto/catalog.h"
#include <stdlib.h>
#include <string.h>

#define PRIORITY_DEFAULT 1
#define PRIORITY_LAST 3
#define PATTERN_MAX 200
#define PATH_MAX 200

/* --- patterns ----------------------------------------------------------------------------------------------
 */

/* "type/subtype", in any case; the last character may be '*', which stands for whatever follows. */
static bool is_pattern(const char *text) {
    char copy[PATTERN_MAX + 1];
    if (text == NULL || text_copy(copy, sizeof copy, text) != 0 || strpbrk(copy, "; \t\"") != NULL) {
        return false;
    }
    size_t size = strlen(copy);
    if (size == 0 || strcspn(copy, "*") < size - 1) {
        return false;
    }
    if (copy[size - 1] != '*') {
        return media_type_is_valid(copy);
    }
    copy[size - 1] = 'x';
    return strchr(copy, '/') == NULL || media_type_is_valid(copy);
}

/* Is there a type that both match? */
static bool overlaps(const char *left, const char *right) {
    size_t left_size = strlen(left);
    size_t right_size = strlen(right);
    bool left_open = left[left_size - 1] == '*';
    bool right_open = right[right_size - 1] == '*';
    if (!left_open) {
        return media_pattern_matches(right, left);
    }
    if (!right_open) {
        return media_pattern_matches(left, right);
    }
    size_t shorter = (left_size < right_size ? left_size : right_size) - 1;
    return strncmp(left, right, shorter) == 0;
}

static bool takes_some(const struct catalog_row *row, const char *pattern) {
    for (size_t i = 0; i < CATALOG_MAX_MEDIA && row->media[i] != NULL; i++) {
        if (overlaps(row->media[i], pattern)) {
            return true;
        }
    }
    return false;
}

/* --- checking ----------------------------------------------------------------------------------------------
 */

static void note(json_t **errors, const char *path, const char *words) {
    *errors = *errors != NULL ? *errors : json_object();
    json_object_set_new(*errors, path, json_pack("[s]", words));
}

static bool has_only(const json_t *object, const char *const names[]) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value) {
        size_t i = 0;
        while (names[i] != NULL && strcmp(names[i], name) != 0) {
            i++;
        }
        if (names[i] == NULL) {
            return false;
        }
    }
    return json_is_object(object);
}

/* "plan[0].jobs[1]" and "dpi" become "plan[0].jobs[1].parameters.dpi". */
static void note_parameters(json_t **errors, const char *path, json_t *of_parameters) {
    const char *name;
    json_t *words;
    json_object_foreach(of_parameters, name, words) {
        char full[2 * PATH_MAX];
        bool whole = strcmp(name, "parameters") == 0;
        (void)text_format(full, sizeof full, "%s.parameters%s%s", path, whole ? "" : ".", whole ? "" : name);
        note(errors, full, json_string_value(json_array_get(words, 0)));
    }
}

static const char *judge_job(const json_t *job, const char *pattern) {
    static const char *const names[] = {"type", "parameters", "priority", NULL};
    const char *type = json_text_member(job, "type");
    const json_t *priority = json_object_get(job, "priority");
    if (!has_only(job, names)) {
        return "Expected type, parameters and priority";
    }
    if (type == NULL || catalog_find(type) == NULL) {
        return "There is no such type of job; see /v1/processors";
    }
    if (priority != NULL && (!json_is_integer(priority) || json_integer_value(priority) < 0 ||
                             json_integer_value(priority) > PRIORITY_LAST)) {
        return "Expected a priority from 0 to 3";
    }
    return takes_some(catalog_find(type), pattern) ? NULL : "This type of job takes no such bytes";
}

static bool is_twice(const json_t *list, size_t index, const char *member) {
    const char *text = json_text_member(json_array_get(list, index), member);
    for (size_t i = 0; i < index; i++) {
        const char *other = json_text_member(json_array_get(list, i), member);
        if (text != NULL && other != NULL && strcmp(text, other) == 0) {
            return true;
        }
    }
    return false;
}

static void check_job(const json_t *jobs, size_t index, const char *pattern, const char *path,
                      json_t **errors) {
    const json_t *job = json_array_get(jobs, index);
    const char *words = judge_job(job, pattern);
    const json_t *parameters = json_object_get(job, "parameters");
    if (words == NULL && is_twice(jobs, index, "type")) {
        words = "Given twice";
    }
    if (words != NULL) {
        note(errors, path, words);
        return;
    }
    json_t *wrong =
        parameters == NULL ? NULL : parameters_check(catalog_find(json_text_member(job, "type")), parameters);
    note_parameters(errors, path, wrong);
    json_decref(wrong);
}

static void check_row(const json_t *rows, size_t index, json_t **errors) {
    static const char *const names[] = {"media_type", "jobs", NULL};
    const json_t *row = json_array_get(rows, index);
    const json_t *jobs = json_object_get(row, "jobs");
    const char *pattern = json_text_member(row, "media_type");
    char path[PATH_MAX];
    (void)text_format(path, sizeof path, "plan[%zu]", index);
    if (!has_only(row, names)) {
        note(errors, path, "Expected media_type and jobs");
    } else if (!is_pattern(pattern)) {
        note(errors, path, "Expected a media_type such as image/png or image/*");
    } else if (is_twice(rows, index, "media_type")) {
        note(errors, path, "Given twice");
    } else if (!json_is_array(jobs) || json_array_size(jobs) > PLAN_MAX_JOBS) {
        note(errors, path, "Expected at most 8 jobs");
    } else {
        for (size_t i = 0; i < json_array_size(jobs); i++) {
            (void)text_format(path, sizeof path, "plan[%zu].jobs[%zu]", index, i);
            check_job(jobs, i, pattern, path, errors);
        }
    }
}

json_t *plan_check(const json_t *rows) {
    json_t *normal = json_deep_copy(rows);
    json_t *errors = NULL;
    for (size_t i = 0; i < json_array_size(normal); i++) { /* patterns are compared in lower case */
        json_t *row = json_array_get(normal, i);
        const char *pattern = json_text_member(row, "media_type");
        char lower[PATTERN_MAX + 1];
        if (pattern != NULL && text_copy(lower, sizeof lower, pattern) == 0) {
            for (char *at = lower; *at != '\0'; at++) {
                *at = text_lower(*at);
            }
            json_object_set_new(row, "media_type", json_string(lower));
        }
    }
    for (size_t i = 0; i < json_array_size(normal); i++) {
        check_row(normal, i, &errors);
    }
    json_decref(normal);
    return errors;
}

/* --- forms -------------------------------------------------------------------------------------------------
 */

static json_t *job_normal(const json_t *job) {
    const json_t *parameters = json_object_get(job, "parameters");
    const json_t *priority = json_object_get(job, "priority");
    return json_pack("{s:s,s:o,s:i}", "type", json_text_member(job, "type"), "parameters",
                     json_is_object(parameters) ? json_deep_copy(parameters) : json_object(), "priority",
                     json_is_integer(priority) ? (int)json_integer_value(priority) : PRIORITY_DEFAULT);
}

json_t *plan_normal(const json_t *rows) {
    json_t *normal = json_array();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const json_t *jobs = json_object_get(row, "jobs");
        json_t *list = json_array();
        char lower[PATTERN_MAX + 1];
        (void)text_copy(lower, sizeof lower, json_text_member(row, "media_type"));
        for (char *at = lower; *at != '\0'; at++) {
            *at = text_lower(*at);
        }
        for (size_t job = 0; job < json_array_size(jobs); job++) {
            json_array_append_new(list, job_normal(json_array_get(jobs, job)));
        }
        json_array_append_new(normal, json_pack("{s:s,s:o}", "media_type", lower, "jobs", list));
    }
    return normal;
}

static json_t *own_job(const struct plan_job *job) {
    return json_pack("{s:s,s:o,s:i}", "type", job->type, "parameters", json_loads(job->parameters, 0, NULL),
                     "priority", job->priority);
}

static bool is_wanted(const struct plan_job *job, const struct settings *settings) {
    if (job->speech && !settings->transcribe) {
        return false;
    }
    return !job->extra || strcmp(settings->plan, "lean") != 0;
}

json_t *plan_own(const struct settings *settings) {
    json_t *rows = json_array();
    for (size_t i = 0; i < plan_row_count; i++) {
        json_t *list = json_array();
        for (size_t job = 0; job < PLAN_MAX_JOBS && plan_rows[i].jobs[job].type != NULL; job++) {
            if (is_wanted(&plan_rows[i].jobs[job], settings)) {
                json_array_append_new(list, own_job(&plan_rows[i].jobs[job]));
            }
        }
        json_array_append_new(rows,
                              json_pack("{s:s,s:o}", "media_type", plan_rows[i].media_type, "jobs", list));
    }
    return rows;
}

/* --- a file's jobs -----------------------------------------------------------------------------------------
 */

/* The jobs of the tenant's longest pattern that matches; NULL where none does. Borrowed. */
static const json_t *choose(const json_t *rows, const char *media_type) {
    const json_t *best = NULL;
    size_t best_size = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *pattern = json_text_member(row, "media_type");
        if (pattern != NULL && media_pattern_matches(pattern, media_type) && strlen(pattern) >= best_size) {
            best = json_object_get(row, "jobs");
            best_size = strlen(pattern);
        }
    }
    return best;
}

static json_t *own_jobs(const char *media_type, const struct settings *settings) {
    const struct plan_job *jobs[PLAN_MAX_JOBS];
    size_t count = plan_jobs(media_type, jobs);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        if (is_wanted(jobs[i], settings)) {
            json_array_append_new(list, own_job(jobs[i]));
        }
    }
    return list;
}

static bool is_follower(const json_t *job) {
    const char *pages = json_text_member(json_object_get(job, "parameters"), "pages");
    return pages != NULL && strcmp(pages, "needed") == 0;
}

/* What has become impossible since the plan was made is left out. */
static bool is_possible(const json_t *job, const char *media_type) {
    const char *type = json_text_member(job, "type");
    const struct catalog_row *row = type != NULL ? catalog_find(type) : NULL;
    return row != NULL && catalog_takes(row, media_type);
}

void file_plan_make(struct file_plan *plan, const json_t *rows, const char *media_type,
                    const struct settings *settings) {
    const json_t *chosen = choose(rows, media_type);
    json_t *source = chosen != NULL ? json_deep_copy(chosen) : own_jobs(media_type, settings);
    json_t *jobs = json_array();
    json_t *followers = json_object();
    for (size_t i = 0; i < json_array_size(source) && i < PLAN_MAX_JOBS; i++) {
        const json_t *planned = json_array_get(source, i);
        if (!is_possible(planned, media_type)) {
            continue;
        }
        json_t *job = job_normal(planned);
        if (is_follower(job)) {
            char type[64];
            (void)text_copy(type, sizeof type, json_text_member(job, "type"));
            json_object_del(job, "type");
            json_object_set_new(followers, type, job);
        } else {
            char id[UUID_TEXT_SIZE];
            text_uuid7(id);
            json_object_set_new(job, "id", json_string(id));
            json_array_append_new(jobs, job);
        }
    }
    *plan = (struct file_plan){
        .count = json_array_size(jobs), .jobs = json_encode(jobs), .followers = json_encode(followers)};
    json_decref(source);
    json_decref(jobs);
    json_decref(followers);
}

void file_plan_clear(struct file_plan *plan) {
    free(plan->jobs);
    free(plan->followers);
    *plan = (struct file_plan){.count = 0};
}
