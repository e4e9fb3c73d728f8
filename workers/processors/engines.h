/* SPDX-License-Identifier: MIT
 * Which libraries, of which version, a processor's results come from: part of their provenance, and of what must be
 * equal before an old result is taken for a new one. Named by the processors whose results depend on their input,
 * parameters and these alone. */
#ifndef WORKERS_PROCESSORS_ENGINES_H
#define WORKERS_PROCESSORS_ENGINES_H

#ifdef __cplusplus
extern "C" {
#endif

/* "name/version" of the library that is loaded; each beside the only user of its header. */
const char *engine_poppler(void);
const char *engine_vips(void);
const char *engine_tesseract(void); /* with the languages that are read by default */
const char *engine_libav(void);
const char *engine_libzip(void);

#ifdef __cplusplus
}
#endif

#endif
