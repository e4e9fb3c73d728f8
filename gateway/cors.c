/* SPDX-License-Identifier: MIT
 * Origins; see cors.h. */
#include "gateway/cors.h"

#include <stddef.h>
#include <string.h>

bool cors_allows(const char *list, const char *origin) {
    if (list == NULL || origin == NULL || origin[0] == '\0') {
        return false;
    }
    size_t length = strlen(origin);
    for (const char *at = list; *at != '\0';) {
        at += strspn(at, ", ");
        size_t entry = strcspn(at, ", ");
        if ((entry == 1 && *at == '*') || (entry == length && memcmp(at, origin, length) == 0)) {
            return true;
        }
        at += entry;
    }
    return false;
}
