/* SPDX-License-Identifier: MIT
 * A line protocol between a parent and one child over an inherited stream socket (FILEMILL_CONTROL_FD):
 * either side asks, the other answers. A question is "ID WORDS\n", its answer "=ID TEXT\n"; ids count up per
 * asker, TEXT is one line ("ok", "error …" or JSON). A line that breaks these rules, or is longer than
 * CONTROL_LINE_MAX, closes the socket: the peer is our own other half and must not be guessed at. */
#ifndef LIB_CONTROL_H
#define LIB_CONTROL_H

#include "lib/loop.h"
#include <stdint.h>

#define CONTROL_LINE_MAX (256 * 1024)
#define CONTROL_WAITING_MAX 64

struct control;

/* A question has come. `words` is valid during the call. It must be answered once, now or later, with
 * control_answer and this id; answers after the socket has closed are dropped. */
typedef void control_question_fn(void *context, uint64_t id, const char *words);
/* An answer has come; NULL when there will be none: deadline passed, peer gone, or control_free. */
typedef void control_answer_fn(void *context, const char *text);

/* A connected pair of non-blocking, close-on-exec stream sockets; -1 with errno. */
int control_pair(int ends[2]);

/* Takes `fd`. `on_question` may be NULL: then every question is answered "error not understood". */
struct control *control_new(struct loop *loop, int fd, control_question_fn *on_question, void *context);
/* The child's side: takes the descriptor that FILEMILL_CONTROL_FD names. NULL when there is none. */
struct control *control_attach(struct loop *loop, control_question_fn *on_question, void *context);
/* Calls every waiting answer function with NULL, then closes. NULL is fine. Not from one of its callbacks. */
void control_free(struct control *control);

/* Asks; `words` must not hold a newline. Returns -1, and never calls `on_answer`, when the peer is gone, too
 * much waits already, or the text is too long; else calls it exactly once, never from inside this call. */
int control_ask(struct control *control, const char *words, int64_t timeout_ms, control_answer_fn *on_answer,
                void *context);

/* Answers a question; newlines in `text` become blanks; a text too long becomes an error answer. */
void control_answer(struct control *control, uint64_t id, const char *text);

#endif
