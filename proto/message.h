/* SPDX-License-Identifier: MIT
 * The messages that Filemill's processes exchange, as plain structs, and their MessagePack form
 * (https://github.com/msgpack/msgpack/blob/master/spec.md). PROTOCOL.md says who may send what, when.
 *
 * On the wire a message is one MessagePack map {field number: value}; field 0 is the message type. Unknown
 * fields are skipped, missing ones are zero or empty unless the field table marks them required. Decoding
 * checks types, sizes, counts and text (no NUL) before anything is used and returns -1 on any fault; it never
 * trusts and never allocates: texts in a decoded struct point into the received bytes, NUL-terminated by the
 * decoder in place, and live as long as those bytes.
 *
 * job, file, tenant, generation and scheduler are UUIDs, sha256 fields are 64 lower-case hex digits, all texts are
 * UTF-8: anything else is refused by both sides. A result's detail alone is cut and cleaned when it is sent. */
#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include "lib/buffer.h"
#include "proto/deliveries.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTOCOL_VERSION 1
#define MESSAGE_MAX_BYTES (256u * 1024u)
#define MESSAGE_MAX_OUTPUTS 8
#define MESSAGE_MAX_URLS 64
#define MESSAGE_SOURCE "source:" /* before an input URL: not signed, of the source outside */
#define MESSAGE_MAX_PARTS 64
#define MESSAGE_ENGINES_SIZE 1024
#define MESSAGE_SPLIT_SIZE 2048
#define MESSAGE_CALLS_SIZE 2048

enum message_type {
    MESSAGE_HELLO = 1, /* worker, gateway → scheduler: who I am */
    MESSAGE_WELCOME,   /* scheduler → worker, gateway */
    MESSAGE_CREDIT,    /* worker → scheduler: room for so many more tasks (absolute, not a difference) */
    MESSAGE_TASK,      /* scheduler → worker */
    MESSAGE_PROGRESS,  /* worker → scheduler */
    MESSAGE_RESULT,    /* worker → scheduler: done or failed */
    MESSAGE_RELEASE,   /* worker → scheduler: given back, not counted as an attempt */
    MESSAGE_CANCEL,    /* gateway → scheduler: by job; scheduler → worker: by job and epoch */
    MESSAGE_DRAIN,     /* scheduler → worker: finish what runs, take nothing new */
    MESSAGE_POKE,      /* gateway → scheduler: jobs were inserted */
    MESSAGE_EVENT,     /* scheduler → gateway: a file has new events in the database */
    MESSAGE_DELETE,    /* scheduler → worker: delete these objects */
    MESSAGE_DELETED,   /* worker → scheduler: which of them are gone */
    MESSAGE_PING,      /* either way; answered by PONG with the same nonce */
    MESSAGE_PONG,
    MESSAGE_PAUSE,     /* supervisor's verbs, brought by the gateway-side control peer: pause or resume a type */
    MESSAGE_DELIVER,   /* scheduler → worker: post these webhooks */
    MESSAGE_DELIVERED, /* worker → scheduler: what the receivers said */
    MESSAGE_TYPE_COUNT
};

enum message_outcome { OUTCOME_DONE = 1, OUTCOME_FAILED = 2 };

struct message_hello {
    uint64_t version;
    const char *role;       /* "worker" | "gateway" | "control" */
    const char *node;
    const char *name;       /* "worker-0"; unique with node */
    const char *generation; /* new UUID at each start: a changed one frees the old one's leases */
    uint64_t pid;
    uint64_t slots;
    uint64_t memory_bytes;
    const char *sandbox;    /* active layers, "seccomp,landlock7,namespaces" */
    const char *engines;    /* libraries by processor, "waveform=libav/5.1;…" */
};

struct message_welcome {
    uint64_t version;
    const char *scheduler; /* the scheduler's own generation */
};

struct message_credit {
    uint64_t tasks;        /* how many tasks this worker will take now, beyond those it holds */
    uint64_t memory_bytes; /* how much of its budget is free */
    uint64_t light;        /* how many tasks that need no runner it holds at a time, beside the others; 0: none */
    uint64_t network;      /* the same for tasks that ask a service */
};

struct message_output {
    const char *kind; /* derivative kind, "pdf_text" */
    const char *key;  /* object key, echoed back in the result */
    const char *mime; /* TASK: Content-Type the URL is signed for */
    const char *url;  /* TASK: presigned PUT */
    /* RESULT only */
    uint64_t size_bytes;
    const char *sha256;   /* hex */
    const char *metadata; /* JSON object or empty: width, height, pages … */
    const char *source;   /* in tasks: presigned GET of what is to be copied there; size_bytes and sha256 are known */
    /* Sealed objects (storage/envelope.h). Keys are 64 hex digits, TASK only, and never logged. */
    const char *data_key;   /* not empty: the object is sealed with it before it is stored */
    const char *source_key; /* what `source` is sealed with; empty: it is plain */
    const char *seal;       /* the data key, wrapped for the database: echoed back in the result */
    uint64_t stored_bytes;  /* RESULT: of the object as stored; 0: plain */
    const char *stored_sha256;
};

/* What a job that is waited for has made for the one that waits. */
struct message_part {
    const char *url; /* presigned GET */
    uint64_t size_bytes;
    const char *sha256; /* hex */
    const char *key;    /* 64 hex digits: sealed with it; size and hash are of the plain bytes. Empty: plain */
};

struct message_task {
    const char *job; /* UUID text */
    uint64_t epoch;
    const char *type; /* processor name */
    const char *file;
    const char *tenant; /* for logs and for never mixing tenants in one runner */
    const char *trace;  /* trace id of the request that made the job (lib/trace.h); may be empty */
    uint64_t attempt;   /* 1 for the first */
    const char *input_url; /* presigned GET; empty: no input */
    uint64_t input_bytes;  /* expected size, and the most that is fetched; the latter alone when unmeasured */
    const char *input_mime;
    const char *input_etag;   /* sent as If-Match when not empty */
    const char *input_sha256; /* hex, checked when not empty */
    const char *input_key;    /* 64 hex digits: the input is sealed with it; size and hash are of the plain bytes */
    const char *parameters;   /* JSON object */
    uint64_t wall_ms, no_progress_ms, cpu_seconds, memory_bytes, output_bytes, pages, pixels; /* limits */
    struct message_output outputs[MESSAGE_MAX_OUTPUTS];
    size_t output_count;
    uint64_t range_pages, ranges; /* how a long document is cut: pages to a range, ranges at most; 0: never */
    bool joins, input_unmeasured; /* joins: what the jobs that it waited for have made is to become one */
    struct message_part parts[MESSAGE_MAX_PARTS];
    size_t part_count;
};

struct message_progress {
    const char *job;
    uint64_t epoch;
    uint64_t done, total; /* units of the processor, usually pages; total 0: unknown */
};

struct message_result {
    const char *job;
    uint64_t epoch;
    uint64_t outcome;  /* enum message_outcome */
    const char *error; /* reason code: "bad_input", "timeout", …; empty when done */
    const char *detail;
    const char *stage; /* "fetch" | "parse" | "store" */
    bool retryable;
    bool crash;        /* crash-class death: counts against the bytes' crash budget */
    const char *input_sha256;
    uint64_t input_bytes;
    uint64_t cpu_ms, peak_rss_bytes, fetch_ms, parse_ms, store_ms, pages;
    const char *metrics; /* JSON object or empty */
    struct message_output outputs[MESSAGE_MAX_OUTPUTS]; /* those made; kind and key as in the task */
    size_t output_count;
    const char *split; /* "1-8,9-16": not done but to be cut into these ranges of pages; empty: done */
    const char *calls; /* JSON array of what models were asked, also when it failed; may be empty */
};

struct message_release {
    const char *job;
    uint64_t epoch;
    const char *reason; /* "drain" | "cancelled" | "overload" */
};

struct message_cancel {
    const char *job;
    uint64_t epoch; /* 0 from the gateway: whatever is current */
};

struct message_drain {
    uint64_t deadline_ms; /* from now */
};

struct message_poke {
    uint64_t jobs;
};

struct message_event {
    const char *file;
    const char *tenant;
    uint64_t event; /* newest event id; listeners read the database from where they are */
};

struct message_url {
    const char *key;
    const char *url;
};

struct message_delete {
    uint64_t batch; /* echoed */
    struct message_url objects[MESSAGE_MAX_URLS];
    size_t object_count;
};

struct message_deleted {
    uint64_t batch;
    struct message_url objects[MESSAGE_MAX_URLS]; /* keys gone (or never there); url empty */
    size_t object_count;
};

struct message_ping {
    uint64_t nonce;
};

struct message_pause {
    const char *type;
    bool resume;
};

struct message {
    enum message_type type;
    union {
        struct message_hello hello;
        struct message_welcome welcome;
        struct message_credit credit;
        struct message_task task;
        struct message_progress progress;
        struct message_result result;
        struct message_release release;
        struct message_cancel cancel;
        struct message_drain drain;
        struct message_poke poke;
        struct message_event event;
        struct message_delete delete_objects;
        struct message_deleted deleted;
        struct message_ping ping; /* PING and PONG */
        struct message_pause pause;
        struct message_deliveries deliveries; /* DELIVER and DELIVERED */
    };
};

const char *message_type_name(enum message_type type); /* "hello"; "unknown" out of range */

/* Appends the encoded message; -1 if a field breaks its own limits or the buffer's ceiling is reached (the
 * buffer is then unchanged). NULL texts are sent as empty. */
int message_encode(struct buffer *buffer, const struct message *message);

/* Decodes `size` bytes (changed in place, see above) into `message`. Returns 0, or -1 with a short reason in
 * `error` (static text). After success no text in the struct is NULL. */
int message_decode(struct message *message, char *bytes, size_t size, const char **error);

/* A generic flat map of text keys to texts and numbers, for the worker ↔ nursery ↔ runner pipe (workers/). The
 * same rules: bounds first, texts in place. Keys are at most 32 bytes; at most 64 entries. */
struct message_pair {
    const char *key;
    const char *text; /* NULL for a number */
    uint64_t number;
};
int message_pairs_encode(struct buffer *buffer, const struct message_pair *pairs, size_t count);
/* Returns the number of pairs or -1. Texts that were not UTF-8 arrive cleaned; nested values are refused. */
int message_pairs_decode(struct message_pair *pairs, size_t max, char *bytes, size_t size);

#endif
