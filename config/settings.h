/* SPDX-License-Identifier: MIT
 * Every setting of Filemill, one row each in settings.c: the one place that names variables, defaults, units,
 * ranges and which programs may know a value. The variable names of the systems that Filemill replaces are
 * accepted as aliases. Each program loads the whole table, but receives only the rows of its audience. */
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include "lib/log.h"
#include "lib/options.h"
#include <stdbool.h>
#include <stdint.h>

enum settings_audience {
    FOR_SUPERVISOR = 1u << 0,
    FOR_GATEWAY = 1u << 1,
    FOR_SCHEDULER = 1u << 2,
    FOR_WORKER = 1u << 3,
    FOR_STORE = 1u << 4,
    FOR_MIGRATE = 1u << 5,
    FOR_TOKEN = 1u << 6,
    FOR_DEMO = 1u << 7,
    FOR_NURSERY = 1u << 8,
    FOR_RUN = 1u << 9,
    FOR_ALL = 0x3ffu,
};

struct settings {
    /* general */
    char *state_directory; /* NULL: /var/lib/filemill as root, else $XDG_STATE_HOME or ~/.local/state
                              /filemill */
    char *user;            /* whom children run as when started by root; NULL: filemill, else nobody */
    char *log_level;
    char *log_format;
    char *roles; /* comma separated: all, gateway, scheduler, worker, store */
    char *node;  /* name of this node in locked_by and logs; NULL: host name */
    int64_t drain_ms;
    /* gateway */
    char *gateway_address;
    int64_t gateway_port;
    int64_t gateway_processes;
    char *public_url; /* base of links to this API; NULL: http://address:port */
    int64_t max_body_bytes;
    int64_t max_upload_bytes;
    int64_t upload_url_seconds;
    int64_t download_url_seconds;
    int64_t output_url_seconds;
    bool portal_ocr;
    char *webhook_secret, *compute_url, *compute_key, *compute_keys;
    int64_t compute_concurrency, compute_per_minute, compute_timeout_ms;
    char *cors_origins; /* comma separated or * */
    int64_t rate_per_minute;
    char *jwks_url; /* derived from supabase_url when NULL */
    char *jwks_file;
    char *supabase_url;
    char *jwt_secret;
    char *jwt_audience;
    char *jwt_issuer;
    int64_t jwt_leeway_seconds;
    bool console;
    int64_t console_session_seconds;
    /* database */
    char *database_url;           /* owner; NULL: embedded */
    char *gateway_database_url;   /* NULL: database_url with SET LOCAL ROLE */
    char *scheduler_database_url; /* NULL: database_url with SET LOCAL ROLE */
    char *database_direct_url;    /* past a pooler; NULL: none is in between */
    int64_t database_pool;
    bool database_prepare; /* protocol-level prepared statements; off behind PgBouncer < 1.21 */
    /* storage */
    char *storage_provider;        /* r2|aws|spaces|b2|minio|filemill; NULL: guessed from the variables set */
    char *storage_endpoint;        /* scheme://host[:port]; NULL with no other variable: embedded store */
    char *storage_public_endpoint; /* what clients reach, when it differs from what workers reach */
    char *storage_region;
    char *storage_bucket;
    char *storage_access_key;
    char *storage_secret_key;
    char *storage_addressing; /* path|virtual|auto */
    char *public_base_url;    /* R2_PUBLIC_BASE_URL: public files are linked there */
    char *r2_account_id;
    char *encrypt_outputs; /* off|portal|all */
    char *encryption_keys_file;
    char *encryption_key;
    int64_t content_streams;
    char *spaces_region;
    char *b2_region;
    /* publishing: a bucket of its own, and where its media comes from */
    char *publish_endpoint;
    char *publish_region;
    char *publish_bucket;
    char *publish_access_key;
    char *publish_secret_key;
    char *publish_cache_control;
    char *cdn_base_url;
    int64_t publish_attempts;
    char *source_endpoint;
    char *source_secret; /* workers only */
    int64_t source_max_bytes;
    char *store_address;
    int64_t store_port;
    char *metrics_address;
    int64_t metrics_port;
    /* scheduler */
    int64_t max_attempts;
    int64_t lease_ms;
    int64_t stale_lock_minutes;
    int64_t backoff_unit_ms;
    int64_t backoff_cap;
    int64_t backoff_jitter_percent;
    int64_t poll_ms;
    int64_t batch;
    int64_t ageing_ms;
    int64_t short_reserve;
    int64_t upload_expiry_minutes;
    int64_t deleted_retention_days;
    int64_t finished_retention_days;
    int64_t crash_budget;
    /* workers */
    int64_t worker_processes;
    int64_t worker_slots;
    int64_t worker_prefetch;     /* tasks held beyond the running ones; 0: as many as slots */
    int64_t worker_memory_bytes; /* budget of one worker for bytes in flight plus expected cost of running
                                    tasks */
    int64_t nursery_documents;   /* the nursery renews itself after so many */
    int64_t transfer_timeout_ms;
    int64_t transfer_low_speed_ms; /* abort when slower than 1 kB/s for so long */
    bool sandbox_required;         /* refuse to start without seccomp and Landlock */
    bool sandbox_namespaces;
    char *ocr_data;      /* folder of tesseract's language data */
    char *ocr_languages; /* what ocr reads by default, "eng+deu" */
    char *plan;              /* full or lean */
    int64_t range_pages, ranges;
    bool ocr_when_needed;
    bool remember_results;
    /* services that network tasks ask */
    bool transcribe; /* planned for sound */
    char *transcribe_backend, *transcribe_data, *transcribe_url, *transcribe_key, *transcribe_model;
    char *transcribe_language;
    int64_t transcribe_concurrency, transcribe_per_minute, transcribe_timeout_ms;
    char *wordlist_backend; /* embedded or chat */
    int64_t wordlist_cooldown_seconds, wordlist_text_bytes;
    char *classify_backend; /* embedded or chat */
    int64_t classify_least, classify_text_bytes, classify_examples;
    int64_t form_bytes, form_memory_bytes, form_parts, form_requests;
    char *chat_url, *chat_key, *chat_model, *chat_temperature;
    int64_t chat_concurrency, chat_per_minute, chat_timeout_ms;
    int64_t service_connect_timeout_ms, service_attempts, service_retry_after_ms, service_answer_bytes;
    int64_t service_breaker_failures, service_breaker_ms;
    int64_t limit_wall_ms; /* 0: the processor's own */
    int64_t limit_cpu_seconds;
    int64_t limit_memory_bytes;
    int64_t limit_output_bytes;
    int64_t limit_no_progress_ms;
    int64_t limit_pages;
    int64_t limit_pixels;
    /* what a document may hold: the nursery's own, for every processor */
    int64_t limit_dpi;
    int64_t limit_archive_entries;
    int64_t limit_archive_ratio;
    int64_t limit_archive_bytes;
    int64_t limit_depth;
    int64_t limit_characters;
    int64_t limit_audio_seconds; /* 0: none */
    /* one-shot runs */
    int64_t run_max_input_bytes;
    bool run_private_addresses;
    /* credits */
    bool credits;
    char *credit_admins;
    int64_t client_priority;
    char *admins, *admin_token;
    /* webhooks */
    int64_t webhook_timeout_ms;
    int64_t webhook_concurrency;
    int64_t webhook_retry_unit_ms;
    int64_t webhook_endpoints;
    int64_t webhook_failing_days;
    int64_t webhook_log_days;
    bool webhook_allow_http;
    bool webhook_allow_private;
    char *webhook_allow_networks;
    /* set by the supervisor for its children, not by people */
    char *channel_endpoint; /* ipc:// address of the scheduler's socket */
    char *gateway_password; /* logins of the embedded cluster, given to filemill-migrate */
    char *scheduler_password;
};

extern const struct option_table settings_table;

/* Loads from `environment` for a child program: logs one line and exits 2 on a bad value; then calls log_init
 * with `program` and the chosen level. */
void settings_load(struct settings *settings, const char *program);
/* What is logged from now on, and in which form. */
void settings_apply_log(const struct settings *settings);
/* Fills zeroed `settings` from `environment` as options_load does: 0, or -1 with one line in `error`. */
int settings_read(struct settings *settings, char *const *environment, char *error, size_t error_size);
/* Environment of a child of one audience: what options_environment gives, less the owner's database URL where
 * the child has a login of its own. options_free_environment frees it. */
char **settings_environment(const struct settings *settings, unsigned audience);
void settings_clear(struct settings *settings);

/* Where the store lets browsers call from: cors-origins, and the console's own addresses where there is a
 * console. NULL: none. The caller frees it. */
char *settings_store_origins(const struct settings *settings);

/* The state directory that is meant, as it was given or by default; NULL when there is no home to put it in.
 * The caller frees it. */
char *settings_state_directory(const struct settings *settings);

#endif
