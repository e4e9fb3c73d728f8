/* SPDX-License-Identifier: MIT
 * Which libraries, of which version, a processor's results come from: part of their provenance, and of what must be
 * equal before an old result is taken for a new one. */
#ifndef WORKERS_PROCESSORS_ENGINES_H
#define WORKERS_PROCESSORS_ENGINES_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "name/version" of the library that is loaded; each beside the only user of its header. */
const char *engine_poppler(void);
const char *engine_vips(void);
const char *engine_tesseract(void); /* with the languages that are read by default */
const char *engine_libav(void);
const char *engine_libzip(void);

/* "extract_pdf=poppler/22.12.0;thumbnail=libvips/8.14.1 poppler/22.12.0;…" of all processors whose results depend on
 * their input, parameters and these libraries alone. 0, or -1 when it does not fit. */
int engines_describe(char *target, size_t size);

#ifdef __cplusplus
}
#endif

#endif
