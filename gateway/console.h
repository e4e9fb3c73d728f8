/* SPDX-License-Identifier: MIT
 * The web console: its files, which the build embeds (console/embed.py), and the one-time code that the
 * command line hands out. */
#ifndef GATEWAY_CONSOLE_H
#define GATEWAY_CONSOLE_H

#include <stddef.h>

struct console_asset {
    const char *name; /* last segment of the path; "" is the page itself */
    const char *content_type;
    const char *etag; /* with its quotes */
    const unsigned char *bytes;
    size_t size;
};
extern const struct console_asset console_assets[];
extern const size_t console_asset_count;

/* What a one-time code names as its audience, which no API token does, and how long it works. */
#define CONSOLE_AUDIENCE "filemill-console"
#define CONSOLE_CODE_SECONDS 300

#endif
