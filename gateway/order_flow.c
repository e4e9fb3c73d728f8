/* SPDX-License-Identifier: MIT
 * Who waits for whom in a list; see order_flow.h. */
#include "gateway/order_flow.h"

#include "lib/memory.h"
#include "lib/text.h"
#include <stdbool.h>
#include <stdlib.h>

#define MEMBER "waits_for"

/* Members that mean nothing together with waiting, or with being waited for. */
static const char *waiting_fault(const json_t *order) {
    if (json_object_get(order, "unique_key") != NULL) {
        return "What waits, or is waited for, is always a new job: it has no unique_key";
    }
    return json_object_get(order, "run_after") != NULL && json_object_get(order, MEMBER) != NULL
               ? "It runs when those that it waits for are done: it has no run_after"
               : NULL;
}

static const char *place_fault(const json_t *list, const json_t *member, const size_t *waiters) {
    json_int_t place = json_integer_value(member);
    if (!json_is_integer(member) || place < 0 || (size_t)place >= json_array_size(list)) {
        return "Names no place in the list; the first is 0";
    }
    if (waiters[place] != 0) {
        return "Names a job that is waited for already";
    }
    return waiting_fault(json_array_get(list, (size_t)place));
}

/* `waiters` holds, for each place, 1 + the place of the order that waits for it. */
static bool is_circle(const size_t *waiters, size_t place, size_t count) {
    size_t at = place;
    for (size_t steps = 0; waiters[at] != 0 && steps < count; steps++) {
        at = waiters[at] - 1;
        if (at == place) {
            return true;
        }
    }
    return false;
}

void order_flow_check(const json_t *list, order_flow_fault *fault, void *context) {
    size_t count = json_array_size(list), place, index;
    size_t *waiters = memory_new_array(count + 1, sizeof *waiters);
    const json_t *order, *member;
    json_array_foreach(list, place, order) {
        const json_t *awaited = json_object_get(order, MEMBER);
        const char *words = awaited != NULL ? waiting_fault(order) : NULL;
        json_array_foreach(awaited, index, member) {
            const char *found = place_fault(list, member, waiters);
            if (found == NULL) {
                waiters[json_integer_value(member)] = place + 1;
            } else if (words == NULL) {
                words = found;
            }
        }
        if (words != NULL) {
            fault(context, place, MEMBER, words);
        }
    }
    for (place = 0; place < count; place++) {
        if (is_circle(waiters, place, count)) {
            fault(context, place, MEMBER, "Waits, in the end, for itself");
        }
    }
    free(waiters);
}

void order_flow_link(const json_t *list, json_t *made) {
    size_t place, index;
    const json_t *order, *member;
    json_array_foreach(list, place, order) {
        const json_t *awaited = json_object_get(order, MEMBER);
        char id[UUID_TEXT_SIZE];
        if (awaited == NULL) {
            continue;
        }
        text_uuid7(id);
        json_object_set_new(json_array_get(made, place), "id", json_string(id));
        json_object_set_new(json_array_get(made, place), "status", json_string("waiting"));
        json_array_foreach(awaited, index, member) {
            json_t *child = json_array_get(made, (size_t)json_integer_value(member));
            json_object_set_new(child, "parent", json_string(id));
        }
    }
}
