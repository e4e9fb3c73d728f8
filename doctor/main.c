/* SPDX-License-Identifier: MIT
 * filemill-doctor [--json]: checks this machine, the sandbox, the database and what the bucket enforces. Exit
 * status 0 without a FAIL, 1 with one, 2 when it was called wrongly. */
#include "doctor/doctor.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"

static const char *const verdict_names[] = {
    [VERDICT_OK] = "ok", [VERDICT_WARN] = "warn", [VERDICT_FAIL] = "FAIL"};

void doctor_note(struct doctor *doctor, const char *check, enum verdict verdict, const char *remedy,
                 const char *format, ...) {
    char seen[SEEN_SIZE];
    va_list arguments;
    json_t *row;

    va_start(arguments, format);
    (void)vsnprintf(seen, sizeof seen, format, arguments);
    va_end(arguments);
    for (char *at = seen; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || (unsigned char)*at >= 0x7f)
            *at = ' ';
    }
    doctor->counts[verdict]++;
    row = json_pack("{s:s,s:s,s:s}", "check", check, "result", verdict_names[verdict], "seen", seen);
    if (verdict != VERDICT_OK)
        (void)json_object_set_new(row, "remedy", json_string(remedy));
    (void)json_array_append_new(doctor->checks, row);
    if (doctor->json)
        return;
    printf("%-4s  %-24s %s\n", verdict_names[verdict], check, seen);
    if (verdict != VERDICT_OK)
        printf("      %-24s > %s\n", "", remedy);
    (void)fflush(stdout);
}

static void print_end(const struct doctor *doctor) {
    if (doctor->json) {
        json_t *report = json_pack("{s:b,s:i,s:i,s:O}", "ok", doctor->counts[VERDICT_FAIL] == 0, "failed",
                                   (int)doctor->counts[VERDICT_FAIL], "warnings",
                                   (int)doctor->counts[VERDICT_WARN], "checks", doctor->checks);
        (void)json_dumpf(report, stdout, JSON_INDENT(1));
        (void)fputs("\n", stdout);
        json_decref(report);
        return;
    }
    printf("%u ok, %u to look at, %u failed\n", doctor->counts[VERDICT_OK], doctor->counts[VERDICT_WARN],
           doctor->counts[VERDICT_FAIL]);
}

int main(int count, char **arguments) {
    struct doctor doctor = {0};

    doctor.json = count == 2 && strcmp(arguments[1], "--json") == 0;
    if (count > 1 && !doctor.json) {
        (void)fputs("usage: filemill doctor [--json]\n", stderr);
        return 2;
    }
    settings_load(&doctor.settings, "doctor");
    log_set_level(LOG_ERROR);
    doctor.loop = loop_new();
    doctor.checks = json_array();
    doctor_machine(&doctor);
    doctor_sandbox(&doctor);
    doctor_engines(&doctor);
    doctor_database(&doctor);
    doctor_bucket(&doctor);
    print_end(&doctor);
    json_decref(doctor.checks);
    loop_free(doctor.loop);
    settings_clear(&doctor.settings);
    return doctor.counts[VERDICT_FAIL] == 0 ? 0 : 1;
}
