/* SPDX-License-Identifier: MIT
 * The demo's token, from the program that makes them for developers. */
#ifndef DEMO_TOKEN_H
#define DEMO_TOKEN_H

/* What filemill-token prints for `user`; NULL if it failed. The caller frees it. */
char *token_make(const char *user);

#endif
