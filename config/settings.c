/* SPDX-License-Identifier: MIT
 * The settings table. A row's audience says which programs are told its value: it must never be wider than
 * the trust table of the design allows (a worker gets no database and no storage key, the supervisor uses
 * none of them but hands them on). An alias may carry a factor, "NAME*1000", where the older name has another
 * unit. */
#include "config/settings.h"

#include "lib/memory.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define DAY_MS INT64_C(86400000)

#define ROW_TEXT(label, env, field, preset)                                                                  \
    .name = label, .variable = "FILEMILL_" env, .type = OPTION_TEXT,                                         \
    .offset = offsetof(struct settings, field), .fallback = preset
#define ROW_CHOICE(label, env, field, preset, choices)                                                       \
    .name = label, .variable = "FILEMILL_" env, .type = OPTION_CHOICE,                                       \
    .offset = offsetof(struct settings, field), .fallback = preset, .unit = choices
#define ROW_BOOL(label, env, field, preset)                                                                  \
    .name = label, .variable = "FILEMILL_" env, .type = OPTION_BOOL,                                         \
    .offset = offsetof(struct settings, field), .fallback = preset
#define ROW_NUMBER(label, env, field, preset, least, most, of)                                               \
    .name = label, .variable = "FILEMILL_" env, .type = OPTION_NUMBER,                                       \
    .offset = offsetof(struct settings, field), .fallback = preset, .min = least, .max = most, .unit = of

#define FOR_SERVICES (FOR_SUPERVISOR | FOR_GATEWAY | FOR_SCHEDULER | FOR_WORKER | FOR_NURSERY | FOR_STORE)
#define FOR_SIGNERS (FOR_SUPERVISOR | FOR_GATEWAY | FOR_SCHEDULER | FOR_RUN)
#define FOR_LIMITS (FOR_SCHEDULER | FOR_GATEWAY | FOR_RUN)
#define FOR_ENGINES (FOR_SUPERVISOR | FOR_WORKER | FOR_NURSERY | FOR_RUN)

static const struct option_row rows[] = {
    {ROW_TEXT("state-directory", "STATE_DIRECTORY", state_directory, NULL),
     .audience = FOR_SUPERVISOR | FOR_STORE | FOR_TOKEN | FOR_DEMO, .heading = "General",
     .description = "Where embedded services keep their data. Unset: /var/lib/filemill as root, else "
                    "$XDG_STATE_HOME/filemill or ~/.local/state/filemill."},
    {ROW_TEXT("user", "USER", user, NULL), .audience = FOR_SUPERVISOR,
     .description = "User whom services run as when started by root. Unset: filemill, else nobody."},
    {ROW_CHOICE("log-level", "LOG_LEVEL", log_level, "info", "error|warn|info|debug"), .aliases = "LOG_LEVEL",
     .audience = FOR_ALL, .description = "Least important lines that are logged."},
    {ROW_CHOICE("log-format", "LOG_FORMAT", log_format, "text", "text|json"), .audience = FOR_ALL,
     .description = "Lines of key=value pairs, or a JSON object each."},
    {ROW_TEXT("roles", "ROLES", roles, "all"), .audience = FOR_SUPERVISOR,
     .description = "Services that this node runs, comma separated: all, gateway, scheduler, worker, store."},
    {ROW_TEXT("node", "NODE", node, NULL), .audience = FOR_SERVICES,
     .description = "Name of this node in locks and logs; unique among nodes. Unset: the host name."},
    {ROW_NUMBER("drain", "DRAIN_MS", drain_ms, "25000", 0, DAY_MS, "ms"), .audience = FOR_SERVICES,
     .description = "How long a stop waits for running documents before it gives them back."},

    {ROW_TEXT("gateway-address", "GATEWAY_ADDRESS", gateway_address, "127.0.0.1"),
     .audience = FOR_SUPERVISOR | FOR_GATEWAY | FOR_STORE | FOR_TOKEN | FOR_DEMO, .heading = "Gateway",
     .description = "Address that the API listens on."},
    {ROW_NUMBER("gateway-port", "GATEWAY_PORT", gateway_port, "8080", 1, 65535, NULL), .aliases = "PORT",
     .audience = FOR_SUPERVISOR | FOR_GATEWAY | FOR_STORE | FOR_TOKEN | FOR_DEMO,
     .description = "TCP port that the API listens on."},
    {ROW_NUMBER("gateway-processes", "GATEWAY_PROCESSES", gateway_processes, "1", 1, 64, "processes"),
     .audience = FOR_SUPERVISOR, .description = "Gateways that share the port."},
    {ROW_TEXT("public-url", "PUBLIC_URL", public_url, NULL), .aliases = "BASE_URL",
     .audience = FOR_SUPERVISOR | FOR_GATEWAY | FOR_STORE | FOR_TOKEN | FOR_DEMO,
     .description = "Base of links to this API. Unset: http://<gateway-address>:<gateway-port>."},
    {ROW_NUMBER("max-body", "MAX_BODY_BYTES", max_body_bytes, "2097152", KIB, 64 * MIB, "bytes"),
     .audience = FOR_GATEWAY, .description = "Largest request body of the API."},
    {ROW_NUMBER("max-upload", "MAX_UPLOAD_BYTES", max_upload_bytes, "5000000000", 1, INT64_C(5497558138880),
                "bytes"),
     .audience = FOR_GATEWAY | FOR_STORE, .description = "Largest file that may be uploaded."},
    {ROW_NUMBER("upload-url", "UPLOAD_URL_SECONDS", upload_url_seconds, "300", 1, 604800, "s"),
     .audience = FOR_GATEWAY, .description = "How long a presigned upload URL works."},
    {ROW_NUMBER("download-url", "DOWNLOAD_URL_SECONDS", download_url_seconds, "600", 1, 604800, "s"),
     .audience = FOR_GATEWAY, .description = "How long a presigned download URL works."},
    {ROW_CHOICE("plan", "PLAN", plan, "full", "full|lean"), .audience = FOR_GATEWAY,
     .description = "Jobs of files whose tenant has no plan for them: full, or lean, which leaves out what costs "
                    "most (OCR, variants of pictures, transcripts)."},
    {ROW_NUMBER("output-url", "OUTPUT_URL_SECONDS", output_url_seconds, "86400", 1, 604800, "s"),
     .audience = FOR_GATEWAY, .description = "How long the link to a portal job's output works."},
    {ROW_BOOL("portal-ocr", "PORTAL_OCR", portal_ocr, "on"), .audience = FOR_GATEWAY,
     .description = "Portals' jobs tell how surely the text of the upload can be read (metrics.ocr_confidence)."},
    {ROW_TEXT("webhook-secret", "WEBHOOK_SECRET", webhook_secret, NULL), .aliases = "WEBHOOK_SECRET",
     .audience = FOR_GATEWAY, .secret = true,
     .description = "What services outside send as X-Webhook-Secret when they end a job. Unset: each has its own, or "
                    "none may."},
    {ROW_TEXT("cors-origins", "CORS_ORIGINS", cors_origins, NULL), .audience = FOR_GATEWAY | FOR_STORE,
     .description = "Origins that browsers may call from, comma separated, or *. Unset: none."},
    {ROW_NUMBER("rate", "RATE_PER_MINUTE", rate_per_minute, "1200", 0, 100000000, "requests/min"),
     .audience = FOR_GATEWAY, .description = "Requests of one user per minute before 429; 0: no limit."},
    {ROW_TEXT("jwks-url", "JWKS_URL", jwks_url, NULL), .audience = FOR_SUPERVISOR | FOR_GATEWAY,
     .description =
         "Where the JWK set that tokens are checked with is fetched. Unset: derived from supabase-url."},
    {ROW_TEXT("jwks-file", "JWKS_FILE", jwks_file, NULL),
     .audience = FOR_SUPERVISOR | FOR_GATEWAY | FOR_TOKEN,
     .description = "Keys that tokens are checked with, as a JWK set in a file; filemill-token signs with a "
                    "private key in it."},
    {ROW_TEXT("supabase-url", "SUPABASE_URL", supabase_url, NULL),
     .aliases = "SUPABASE_PROJECT_URL,SUPABASE_URL", .audience = FOR_SUPERVISOR | FOR_GATEWAY,
     .description = "Supabase project whose users' tokens are accepted, as https://<project>.supabase.co."},
    {ROW_TEXT("jwt-secret", "JWT_SECRET", jwt_secret, NULL), .aliases = "SUPABASE_JWT_SECRET",
     .audience = FOR_GATEWAY | FOR_TOKEN, .secret = true,
     .description = "Secret of tokens signed with HS256, at least 32 bytes. Unset with no other key: one is "
                    "made at the first start and kept in the state directory."},
    {ROW_TEXT("jwt-audience", "JWT_AUDIENCE", jwt_audience, "authenticated"), .aliases = "SUPABASE_JWT_AUD",
     .audience = FOR_GATEWAY | FOR_TOKEN, .description = "Audience that a token must name."},
    {ROW_TEXT("jwt-issuer", "JWT_ISSUER", jwt_issuer, NULL), .audience = FOR_GATEWAY | FOR_TOKEN,
     .description = "Issuer that a token must name. Unset: <supabase-url>/auth/v1, or not checked."},
    {ROW_NUMBER("jwt-leeway", "JWT_LEEWAY_SECONDS", jwt_leeway_seconds, "30", 0, 300, "s"),
     .audience = FOR_GATEWAY, .description = "Clock difference that a token's times may show."},
    {ROW_BOOL("console", "CONSOLE", console, "on"), .audience = FOR_SUPERVISOR | FOR_GATEWAY | FOR_STORE | FOR_TOKEN,
     .description = "Serve the web console at /console/; the embedded store then lets it upload."},
    {ROW_NUMBER("console-session", "CONSOLE_SESSION_SECONDS", console_session_seconds, "3600", 60, 86400, "s"),
     .audience = FOR_GATEWAY,
     .description = "How long somebody who came with the one-time link of `filemill console` stays signed in."},

    {ROW_TEXT("database-url", "DATABASE_URL", database_url, NULL), .aliases = "DATABASE_URL,SUPABASE_DB_URL",
     .audience = FOR_GATEWAY | FOR_SCHEDULER | FOR_MIGRATE, .secret = true, .heading = "Database",
     .description = "Postgres, as the owner of the schema. Unset: an embedded cluster."},
    {ROW_TEXT("gateway-database-url", "GATEWAY_DATABASE_URL", gateway_database_url, NULL),
     .audience = FOR_GATEWAY, .secret = true,
     .description =
         "Postgres as the gateway logs in. Unset: database-url, changing role in each transaction."},
    {ROW_TEXT("scheduler-database-url", "SCHEDULER_DATABASE_URL", scheduler_database_url, NULL),
     .audience = FOR_SCHEDULER, .secret = true,
     .description =
         "Postgres as the scheduler logs in. Unset: database-url, changing role in each transaction."},
    {ROW_TEXT("database-direct-url", "DATABASE_DIRECT_URL", database_direct_url, NULL), .aliases = "DIRECT_URL",
     .audience = FOR_SCHEDULER, .secret = true,
     .description = "The same Postgres past its pooler, where the other URLs go through one: schedulers listen there "
                    "for other nodes' jobs. Unset behind a pooler: they are found by looking, once a second."},
    {ROW_NUMBER("database-pool", "DATABASE_POOL", database_pool, "24", 1, 100, "connections"),
     .audience = FOR_GATEWAY | FOR_SCHEDULER,
     .description = "Connections of one process to Postgres at most, opened when needed. Each waits for its own "
                    "commits: more of them share one write of the log."},
    {ROW_BOOL("database-prepare", "DATABASE_PREPARE", database_prepare, "off"),
     .audience = FOR_GATEWAY | FOR_SCHEDULER,
     .description = "Use prepared statements: faster, but not behind PgBouncer before 1.21. The embedded "
                    "Postgres always does."},

    {ROW_CHOICE("storage-provider", "STORAGE_PROVIDER", storage_provider, NULL,
                "r2|aws|spaces|b2|minio|filemill"),
     .audience = FOR_SIGNERS | FOR_WORKER, .heading = "Storage",
     .description = "Whose S3 dialect it is. Unset: told from the variables that are set."},
    {ROW_TEXT("storage-endpoint", "STORAGE_ENDPOINT", storage_endpoint, NULL),
     .aliases = "DO_SPACES_ENDPOINT,SPACES_ENDPOINT",
     .audience = FOR_SIGNERS | FOR_WORKER | FOR_STORE,
     .description =
         "S3 endpoint, scheme://host[:port]. Unset with no other storage setting: the embedded store."},
    {ROW_TEXT("storage-public-endpoint", "STORAGE_PUBLIC_ENDPOINT", storage_public_endpoint, NULL),
     .audience = FOR_SIGNERS | FOR_STORE,
     .description = "The endpoint as clients reach it, where that differs."},
    {ROW_TEXT("storage-region", "STORAGE_REGION", storage_region, NULL),
     .audience = FOR_SIGNERS | FOR_WORKER | FOR_STORE,
     .description = "Region that requests are signed for. Unset: the provider's usual one."},
    {ROW_TEXT("storage-bucket", "STORAGE_BUCKET", storage_bucket, NULL),
     .aliases = "R2_BUCKET,DO_SPACES_BUCKET,SPACES_BUCKET",
     .audience = FOR_SIGNERS | FOR_WORKER | FOR_STORE, .description = "Bucket that holds all objects."},
    {ROW_TEXT("storage-access-key", "STORAGE_ACCESS_KEY", storage_access_key, NULL),
     .aliases = "R2_ACCESS_KEY_ID,DO_SPACES_ACCESS_KEY,SPACES_KEY",
     .audience = FOR_GATEWAY | FOR_SCHEDULER | FOR_STORE | FOR_RUN, .secret = true,
     .description = "Id of the key that URLs are signed with."},
    {ROW_TEXT("storage-secret-key", "STORAGE_SECRET_KEY", storage_secret_key, NULL),
     .aliases = "R2_SECRET_ACCESS_KEY,DO_SPACES_SECRET_KEY,SPACES_SECRET",
     .audience = FOR_GATEWAY | FOR_SCHEDULER | FOR_STORE | FOR_RUN, .secret = true,
     .description = "Key that URLs are signed with."},
    {ROW_CHOICE("storage-addressing", "STORAGE_ADDRESSING", storage_addressing, "auto", "path|virtual|auto"),
     .audience = FOR_SIGNERS | FOR_WORKER,
     .description = "Bucket in the path or in the host name; auto: as the provider prefers."},
    {ROW_TEXT("public-base-url", "PUBLIC_BASE_URL", public_base_url, NULL),
     .aliases = "R2_PUBLIC_BASE_URL", .audience = FOR_GATEWAY,
     .description = "Where public files are linked: <this>/<key>. Unset: presigned URLs for them too."},
    {ROW_CHOICE("encrypt-outputs", "ENCRYPT_OUTPUTS", encrypt_outputs, "off", "off|portal|all"),
     .audience = FOR_GATEWAY | FOR_SCHEDULER,
     .description = "Which outputs are encrypted before they leave the worker: none, masters and packages of "
                    "document portals, or all."},
    {ROW_TEXT("encryption-keys-file", "ENCRYPTION_KEYS_FILE", encryption_keys_file, NULL),
     .audience = FOR_GATEWAY | FOR_SCHEDULER,
     .description = "Master keys, one to a line as [id:]64 hex digits. The first wraps, all unwrap; they come before "
                    "those of encryption-key."},
    {ROW_TEXT("encryption-key", "ENCRYPTION_KEY", encryption_key, NULL),
     .audience = FOR_GATEWAY | FOR_SCHEDULER, .secret = true,
     .description = "The same, comma separated."},
    {ROW_NUMBER("content-streams", "CONTENT_STREAMS", content_streams, "64", 1, 4096, "downloads"),
     .audience = FOR_GATEWAY,
     .description = "Downloads through one gateway at a time, about 1 MiB of memory each; more must come again."},
    {ROW_TEXT("r2-account-id", "R2_ACCOUNT_ID", r2_account_id, NULL), .aliases = "R2_ACCOUNT_ID",
     .audience = FOR_SIGNERS | FOR_WORKER, .description = "Cloudflare account; makes R2's endpoint."},
    {ROW_TEXT("spaces-region", "SPACES_REGION", spaces_region, NULL),
     .aliases = "DO_SPACES_REGION,SPACES_REGION", .audience = FOR_SIGNERS | FOR_WORKER,
     .description = "DigitalOcean Spaces region; makes its endpoint."},
    {ROW_TEXT("b2-region", "B2_REGION", b2_region, NULL),
     .audience = FOR_SIGNERS | FOR_WORKER, .description = "Backblaze B2 region; makes its endpoint."},
    {ROW_TEXT("store-address", "STORE_ADDRESS", store_address, "127.0.0.1"),
     .audience = FOR_SUPERVISOR | FOR_STORE, .description = "Address that the embedded store listens on."},
    {ROW_NUMBER("store-port", "STORE_PORT", store_port, "8081", 1, 65535, NULL),
     .audience = FOR_SUPERVISOR | FOR_STORE, .description = "TCP port that the embedded store listens on."},

    {ROW_TEXT("metrics-address", "METRICS_ADDRESS", metrics_address, "127.0.0.1"), .audience = FOR_SUPERVISOR,
     .heading = "Metrics", .description = "Address that /metrics is served on. It asks nobody who he is."},
    {ROW_NUMBER("metrics-port", "METRICS_PORT", metrics_port, "0", 0, 65535, NULL), .audience = FOR_SUPERVISOR,
     .description = "TCP port of /metrics for Prometheus; 0: only over the stats socket."},

    {ROW_NUMBER("max-attempts", "MAX_ATTEMPTS", max_attempts, "10", 1, 1000, "attempts"),
     .aliases = "MAX_ATTEMPTS", .audience = FOR_GATEWAY | FOR_SCHEDULER, .heading = "Scheduler",
     .description = "Attempts of a job before it fails for good."},
    {ROW_NUMBER("lease", "LEASE_MS", lease_ms, "30000", 1000, DAY_MS, "ms"), .audience = FOR_SCHEDULER,
     .description = "How long a lease holds unless the scheduler extends it."},
    {ROW_NUMBER("stale-lock", "STALE_LOCK_MINUTES", stale_lock_minutes, "15", 1, 10080, "min"),
     .aliases = "JOB_STALE_LOCK_MINUTES", .audience = FOR_SCHEDULER,
     .description = "A running job whose lock is older, and that has no lease, is taken back."},
    {ROW_NUMBER("backoff-unit", "BACKOFF_UNIT_MS", backoff_unit_ms, "60000", 1, DAY_MS, "ms"),
     .audience = FOR_SCHEDULER,
     .description = "Unit of the wait before a retry: min(2^attempts, cap) units."},
    {ROW_NUMBER("backoff-cap", "BACKOFF_CAP", backoff_cap, "60", 1, 100000, "units"),
     .audience = FOR_SCHEDULER, .description = "Longest wait before a retry, in backoff units."},
    {ROW_NUMBER("backoff-jitter", "BACKOFF_JITTER_PERCENT", backoff_jitter_percent, "10", 0, 100, "%"),
     .audience = FOR_SCHEDULER, .description = "Random part of that wait, added or taken away."},
    {ROW_NUMBER("poll", "POLL_MS", poll_ms, "1000", 10, 3600000, "ms"),
     .aliases = "WORKER_POLL_SECONDS*1000,WORKER_POLL_INTERVAL_SECONDS*1000,WORKER_POLL_INTERVAL",
     .audience = FOR_SCHEDULER,
     .description = "How often the queue is looked at when nothing wakes the scheduler."},
    {ROW_NUMBER("batch", "BATCH", batch, "512", 1, 1000, "jobs"), .audience = FOR_SCHEDULER,
     .description = "Most jobs leased or completed in one transaction."},
    {ROW_NUMBER("ageing", "AGEING_MS", ageing_ms, "60000", 0, DAY_MS, "ms"), .audience = FOR_SCHEDULER,
     .description = "A job that has waited so long gets one place in eight, whatever has priority over it; "
                    "0: priorities are strict."},
    {ROW_NUMBER("short-reserve", "SHORT_RESERVE", short_reserve, "8", 0, 1000, "runners"),
     .audience = FOR_SCHEDULER,
     .description = "One of so many runners takes no job that lasts long (ocr, transcribe, …), so that short "
                    "ones need not wait for those; 0: none is kept."},
    {ROW_NUMBER("upload-expiry", "UPLOAD_EXPIRY_MINUTES", upload_expiry_minutes, "1440", 1, 525600, "min"),
     .audience = FOR_GATEWAY | FOR_SCHEDULER,
     .description = "An upload that was not finalized by then is given up."},
    {ROW_NUMBER("deleted-retention", "DELETED_RETENTION_DAYS", deleted_retention_days, "30", 0, 36500,
                "days"),
     .audience = FOR_SCHEDULER, .description = "How long a deleted file's objects are kept."},
    {ROW_NUMBER("finished-retention", "FINISHED_RETENTION_DAYS", finished_retention_days, "90", 0, 36500,
                "days"),
     .audience = FOR_SCHEDULER, .description = "How long finished jobs are kept; 0: for ever."},
    {ROW_NUMBER("crash-budget", "CRASH_BUDGET", crash_budget, "2", 1, 100, "crashes"),
     .audience = FOR_SCHEDULER,
     .description = "Crashes of the same bytes under one processor before the pair is quarantined."},

    {ROW_NUMBER("worker-processes", "WORKER_PROCESSES", worker_processes, "1", 1, 64, "processes"),
     .audience = FOR_SUPERVISOR, .heading = "Workers", .description = "Workers of this node."},
    {ROW_NUMBER("worker-slots", "WORKER_SLOTS", worker_slots, "0", 0, 256, "documents"),
     .aliases = "CONCURRENCY", .audience = FOR_ENGINES,
     .description = "Documents that one worker runs at a time; 0: one per processor core."},
    {ROW_NUMBER("worker-prefetch", "WORKER_PREFETCH", worker_prefetch, "0", 0, 100000, "documents"),
     .audience = FOR_SUPERVISOR | FOR_WORKER,
     .description =
         "Documents that one worker takes beyond those it runs, to fetch their bytes meanwhile; 0: as "
         "many as it runs."},
    {ROW_NUMBER("worker-memory", "WORKER_MEMORY_BYTES", worker_memory_bytes, "1073741824", 64 * MIB,
                1024 * GIB, "bytes"),
     .audience = FOR_SUPERVISOR | FOR_WORKER,
     .description = "Budget of one worker: bytes in flight and the expected cost of running documents."},
    {ROW_NUMBER("nursery-documents", "NURSERY_DOCUMENTS", nursery_documents, "1000", 1, 10000000,
                "documents"),
     .audience = FOR_WORKER | FOR_NURSERY | FOR_RUN, .description = "The nursery renews itself after so many."},
    {ROW_NUMBER("transfer-timeout", "TRANSFER_TIMEOUT_MS", transfer_timeout_ms, "900000", 1000, DAY_MS, "ms"),
     .audience = FOR_WORKER | FOR_RUN, .description = "Longest download or upload of one object."},
    {ROW_NUMBER("transfer-low-speed", "TRANSFER_LOW_SPEED_MS", transfer_low_speed_ms, "30000", 1000, 3600000,
                "ms"),
     .audience = FOR_WORKER | FOR_RUN, .description = "A transfer below 1 kB/s for so long is given up."},
    {ROW_BOOL("sandbox-required", "SANDBOX_REQUIRED", sandbox_required, "on"),
     .audience = FOR_ENGINES | FOR_GATEWAY,
     .description = "Refuse to start where seccomp or Landlock is missing."},
    {ROW_BOOL("sandbox-namespaces", "SANDBOX_NAMESPACES", sandbox_namespaces, "on"), .audience = FOR_ENGINES,
     .description = "Add namespaces to the sandbox where the host permits."},
    {ROW_TEXT("ocr-data", "OCR_DATA", ocr_data, "/usr/share/tesseract-ocr/5/tessdata"),
     .aliases = "TESSDATA_PREFIX", .audience = FOR_ENGINES,
     .description = "Folder of tesseract's language data, readable by everyone."},
    {ROW_TEXT("ocr-languages", "OCR_LANGUAGES", ocr_languages, "eng"), .audience = FOR_ENGINES,
     .description = "Languages that ocr reads unless asked otherwise, such as eng+deu; loaded once."},
    {ROW_NUMBER("limit-wall", "LIMIT_WALL_MS", limit_wall_ms, "0", 0, DAY_MS, "ms"),
     .audience = FOR_LIMITS, .description = "Longest run of one document; 0: as the processor says."},
    {ROW_NUMBER("limit-cpu", "LIMIT_CPU_SECONDS", limit_cpu_seconds, "0", 0, 86400, "s"),
     .audience = FOR_LIMITS, .description = "Processor time of one document; 0: as the processor says."},
    {ROW_NUMBER("limit-memory", "LIMIT_MEMORY_BYTES", limit_memory_bytes, "0", 0, 1024 * GIB, "bytes"),
     .audience = FOR_LIMITS, .description = "Address space of one document; 0: as the processor says."},
    {ROW_NUMBER("limit-output", "LIMIT_OUTPUT_BYTES", limit_output_bytes, "0", 0, 1024 * GIB, "bytes"),
     .audience = FOR_LIMITS, .description = "Output of one document; 0: as the processor says."},
    {ROW_NUMBER("limit-no-progress", "LIMIT_NO_PROGRESS_MS", limit_no_progress_ms, "0", 0, DAY_MS, "ms"),
     .audience = FOR_LIMITS,
     .description = "Longest silence of a running document, and most processor time that one step (a page) "
                    "may take; 0: as the processor says."},
    {ROW_NUMBER("range-pages", "RANGE_PAGES", range_pages, "8", 0, 1000000, "pages"), .audience = FOR_SCHEDULER,
     .description = "Long documents are read in ranges of so many pages, by all workers at once; 0: never."},
    {ROW_NUMBER("ranges", "RANGES", ranges, "64", 1, 64, "ranges"), .audience = FOR_SCHEDULER,
     .description = "Ranges of one document at most; they grow with it."},
    {ROW_BOOL("remember-results", "REMEMBER_RESULTS", remember_results, "on"), .audience = FOR_SCHEDULER,
     .description = "Copy what was made before of the same bytes by the same processor, libraries and parameters "
                    "for the same tenant; a reprocess makes it anew."},
    {ROW_BOOL("ocr-when-needed", "OCR_WHEN_NEEDED", ocr_when_needed, "on"), .audience = FOR_SCHEDULER,
     .description = "Read the pages of a PDF that have no text of their own, or none that can be used."},
    {ROW_NUMBER("limit-pages", "LIMIT_PAGES", limit_pages, "2000", 1, 1000000, "pages"),
     .audience = FOR_LIMITS, .description = "Most pages of one document."},
    {ROW_NUMBER("limit-pixels", "LIMIT_PIXELS", limit_pixels, "100000000", 1, INT64_C(10000000000), "pixels"),
     .audience = FOR_LIMITS, .description = "Most pixels of one image."},

    {ROW_NUMBER("limit-dpi", "LIMIT_DPI", limit_dpi, "600", 70, 2400, "dpi"), .audience = FOR_ENGINES,
     .description = "Highest resolution that ocr draws pages at; more is lowered to it."},
    {ROW_NUMBER("limit-archive-entries", "LIMIT_ARCHIVE_ENTRIES", limit_archive_entries, "10000", 1, 10000000,
                "entries"),
     .audience = FOR_ENGINES, .description = "Most entries of a ZIP package (office documents)."},
    {ROW_NUMBER("limit-archive-ratio", "LIMIT_ARCHIVE_RATIO", limit_archive_ratio, "100", 1, 100000, "times"),
     .audience = FOR_ENGINES,
     .description = "How many times its size an entry of a ZIP package may expand to; the first 100 kB are free."},
    {ROW_NUMBER("limit-archive-bytes", "LIMIT_ARCHIVE_BYTES", limit_archive_bytes, "536870912", KIB, 1024 * GIB,
                "bytes"),
     .audience = FOR_ENGINES, .description = "What the entries of a ZIP package may expand to together."},
    {ROW_NUMBER("limit-depth", "LIMIT_DEPTH", limit_depth, "100", 1, 100, "levels"), .audience = FOR_ENGINES,
     .description = "How deeply the XML of an office document, or the groups of RTF, may be nested."},
    {ROW_NUMBER("limit-characters", "LIMIT_CHARACTERS", limit_characters, "10000000", 1, INT64_C(10000000000),
                "characters"),
     .audience = FOR_ENGINES, .description = "Most characters of one document's text."},
    {ROW_NUMBER("limit-audio", "LIMIT_AUDIO_SECONDS", limit_audio_seconds, "43200", 0, 31536000, "s"),
     .audience = FOR_ENGINES, .description = "Longest sound, as it is decoded; 0: no limit."},

    {ROW_NUMBER("run-max-input", "RUN_MAX_INPUT_BYTES", run_max_input_bytes, "536870912", 1, 1024 * GIB, "bytes"),
     .audience = FOR_RUN, .heading = "One-shot runs",
     .description = "Largest document that filemill run reads or fetches."},
    {ROW_BOOL("run-private-addresses", "RUN_PRIVATE_ADDRESSES", run_private_addresses, "off"),
     .audience = FOR_RUN,
     .description = "Let filemill run --contract fetch from private, loopback and link-local addresses too. The "
                    "configured storage endpoint may always be one."},

    {ROW_TEXT("admins", "ADMINS", admins, NULL), .audience = FOR_MIGRATE | FOR_TOKEN, .heading = "Administration",
     .description = "Users who run the service: their ids, comma separated. Unset with embedded keys: one is made up, "
                    "for `filemill admin`."},
    {ROW_TEXT("admin-token", "ADMIN_TOKEN", admin_token, NULL), .audience = FOR_DEMO, .secret = true,
     .description = "Token of one of them, for `filemill admin` where the keys that tokens are signed with are "
                    "elsewhere."},
    {ROW_NUMBER("client-priority", "CLIENT_PRIORITY", client_priority, "1", 0, 3, NULL),
     .audience = FOR_MIGRATE,
     .description = "First band of the queue (0 to 3) that jobs of clients may be in; tenants may have one of "
                    "their own, admins are not bound."},

    {ROW_BOOL("credits", "CREDITS", credits, "off"), .audience = FOR_MIGRATE | FOR_GATEWAY | FOR_SCHEDULER,
     .heading = "Credits",
     .description = "Charge users for jobs: credits are reserved when a job is made, charged when it is done, given "
                    "back when it is not. The same on all nodes."},
    {ROW_TEXT("credit-admins", "CREDIT_ADMINS", credit_admins, NULL), .audience = FOR_MIGRATE,
     .description = "Users who may grant credits, beside the admins: their ids, comma separated."},

    {ROW_NUMBER("webhook-timeout", "WEBHOOK_TIMEOUT_MS", webhook_timeout_ms, "15000", 100, 60000, "ms"),
     .audience = FOR_SCHEDULER, .heading = "Webhooks",
     .description = "How long a receiver may take for its answer, connecting included."},
    {ROW_NUMBER("webhook-concurrency", "WEBHOOK_CONCURRENCY", webhook_concurrency, "128", 1, 1024, "requests"),
     .audience = FOR_SCHEDULER | FOR_WORKER, .description = "Webhooks that one worker sends at a time."},
    {ROW_NUMBER("webhook-retry-unit", "WEBHOOK_RETRY_UNIT_MS", webhook_retry_unit_ms, "1000", 1, 60000, "ms"),
     .audience = FOR_SCHEDULER,
     .description = "Unit of the waits between attempts: 5, 30, 120 … units, three days in all."},
    {ROW_NUMBER("webhook-endpoints", "WEBHOOK_ENDPOINTS", webhook_endpoints, "16", 0, 1000, "endpoints"),
     .audience = FOR_GATEWAY, .description = "Webhook endpoints that one tenant may have."},
    {ROW_NUMBER("webhook-failing-days", "WEBHOOK_FAILING_DAYS", webhook_failing_days, "5", 1, 365, "days"),
     .audience = FOR_SCHEDULER,
     .description = "An endpoint that has failed for so long, without one success, is disabled."},
    {ROW_NUMBER("webhook-log", "WEBHOOK_LOG_DAYS", webhook_log_days, "30", 1, 3650, "days"),
     .audience = FOR_SCHEDULER, .description = "How long deliveries are kept in the log."},
    {ROW_BOOL("webhook-allow-http", "WEBHOOK_ALLOW_HTTP", webhook_allow_http, "off"),
     .audience = FOR_GATEWAY | FOR_WORKER, .description = "Webhooks may also go to http:// URLs."},
    {ROW_BOOL("webhook-allow-private", "WEBHOOK_ALLOW_PRIVATE", webhook_allow_private, "off"),
     .audience = FOR_GATEWAY | FOR_WORKER,
     .description = "Webhooks may also go to private, loopback and other special addresses."},
    {ROW_TEXT("webhook-allow-networks", "WEBHOOK_ALLOW_NETWORKS", webhook_allow_networks, NULL),
     .audience = FOR_GATEWAY | FOR_WORKER,
     .description = "Networks that webhooks may go to beside public addresses: CIDRs, comma separated."},

    {ROW_TEXT("publish-endpoint", "PUBLISH_ENDPOINT", publish_endpoint, NULL), .aliases = "B2_ENDPOINT",
     .audience = FOR_SCHEDULER | FOR_WORKER, .heading = "Publishing",
     .description = "S3 endpoint of the bucket that media is published to, [scheme://]host[:port]. Unset: made from "
                    "publish-region for Backblaze B2."},
    {ROW_TEXT("publish-region", "PUBLISH_REGION", publish_region, NULL), .aliases = "B2_REGION",
     .audience = FOR_SCHEDULER, .description = "Region that requests to it are signed for."},
    {ROW_TEXT("publish-bucket", "PUBLISH_BUCKET", publish_bucket, NULL), .aliases = "B2_BUCKET",
     .audience = FOR_SCHEDULER, .description = "Bucket that media is published to. Unset: nothing is published."},
    {ROW_TEXT("publish-access-key", "PUBLISH_ACCESS_KEY", publish_access_key, NULL), .aliases = "B2_KEY_ID",
     .audience = FOR_SCHEDULER, .secret = true, .description = "Id of the key of that bucket."},
    {ROW_TEXT("publish-secret-key", "PUBLISH_SECRET_KEY", publish_secret_key, NULL), .aliases = "B2_APP_KEY",
     .audience = FOR_SCHEDULER, .secret = true, .description = "Key of that bucket."},
    {ROW_TEXT("publish-cache-control", "PUBLISH_CACHE_CONTROL", publish_cache_control,
              "public, max-age=31536000, immutable"),
     .audience = FOR_SCHEDULER | FOR_WORKER, .description = "Cache-Control that published objects are stored with."},
    {ROW_TEXT("cdn-base-url", "CDN_BASE_URL", cdn_base_url, NULL), .aliases = "CDN_BASE_URL",
     .audience = FOR_SCHEDULER | FOR_GATEWAY,
     .description = "Where published objects are linked: <this>/<key>. Needed for publishing."},
    {ROW_NUMBER("publish-attempts", "PUBLISH_ATTEMPTS", publish_attempts, "5", 1, 1000, "attempts"),
     .aliases = "MAX_RETRIES", .audience = FOR_SCHEDULER,
     .description = "Attempts of a publishing job that says nothing of its own."},
    {ROW_TEXT("source-endpoint", "SOURCE_ENDPOINT", source_endpoint, NULL), .aliases = "RAID_PUB_ENDPOINT",
     .audience = FOR_SCHEDULER | FOR_WORKER,
     .description = "Where media to publish is fetched: <this>?key=<key>. No other origin is ever asked."},
    {ROW_TEXT("source-secret", "SOURCE_SECRET", source_secret, NULL), .aliases = "RAID_PUBLISHER_SECRET",
     .audience = FOR_WORKER, .secret = true, .description = "Bearer token for it."},
    {ROW_NUMBER("source-max", "SOURCE_MAX_BYTES", source_max_bytes, "67108864", KIB, GIB, "bytes"),
     .audience = FOR_SCHEDULER, .description = "Largest picture that is fetched from it."},

    {ROW_BOOL("transcribe", "TRANSCRIBE", transcribe, "on"), .audience = FOR_GATEWAY,
     .heading = "Services that workers ask",
     .description = "Transcribe each sound file when it is finalized."},
    {ROW_CHOICE("transcribe-backend", "TRANSCRIBE_BACKEND", transcribe_backend, "pocketsphinx",
                "pocketsphinx|openai|whisper.cpp"),
     .audience = FOR_SCHEDULER | FOR_ENGINES,
     .description = "Who recognises speech: pocketsphinx in a runner (English), or a server at transcribe-url "
                    "that has OpenAI's /v1/audio/transcriptions or whisper.cpp's /inference."},
    {ROW_TEXT("transcribe-data", "TRANSCRIBE_DATA", transcribe_data, "/usr/share/pocketsphinx/model/en-us"),
     .audience = FOR_ENGINES, .description = "Folder of PocketSphinx' model, readable by everyone."},
    {ROW_TEXT("transcribe-url", "TRANSCRIBE_URL", transcribe_url, NULL), .audience = FOR_WORKER,
     .description = "Base URL of the transcription server, such as http://127.0.0.1:8000. Needed where "
                    "transcribe-backend is not pocketsphinx."},
    {ROW_TEXT("transcribe-key", "TRANSCRIBE_KEY", transcribe_key, NULL), .audience = FOR_WORKER, .secret = true,
     .description = "Bearer token for the transcription server."},
    {ROW_TEXT("transcribe-model", "TRANSCRIBE_MODEL", transcribe_model, "whisper-1"), .audience = FOR_WORKER,
     .description = "Model that the transcription server is asked for."},
    {ROW_TEXT("transcribe-language", "TRANSCRIBE_LANGUAGE", transcribe_language, NULL), .audience = FOR_WORKER,
     .description = "Language that a server is told unless the job names one, such as en. Unset: it finds out."},
    {ROW_NUMBER("transcribe-concurrency", "TRANSCRIBE_CONCURRENCY", transcribe_concurrency, "2", 1, 256,
                "requests"),
     .audience = FOR_WORKER, .description = "Requests that one worker has open at the transcription server."},
    {ROW_NUMBER("transcribe-per-minute", "TRANSCRIBE_PER_MINUTE", transcribe_per_minute, "0", 0, 100000,
                "requests/min"),
     .audience = FOR_WORKER, .description = "Requests that one worker makes in a minute; 0: no limit."},
    {ROW_NUMBER("transcribe-timeout", "TRANSCRIBE_TIMEOUT_MS", transcribe_timeout_ms, "600000", 100, DAY_MS,
                "ms"),
     .audience = FOR_WORKER, .description = "Longest wait for one answer of the transcription server."},
    {ROW_TEXT("compute-url", "COMPUTE_URL", compute_url, NULL), .aliases = "CAMBER_API_URL", .audience = FOR_WORKER,
     .description = "Base URL of the service that portals' jobs are sent to where compute_backends says so."},
    {ROW_TEXT("compute-key", "COMPUTE_KEY", compute_key, NULL), .aliases = "CAMBER_API_KEY", .audience = FOR_WORKER,
     .secret = true, .description = "Bearer token for that service."},
    {ROW_TEXT("compute-keys", "COMPUTE_KEYS", compute_keys, NULL), .audience = FOR_WORKER, .secret = true,
     .description = "Bearer tokens for the services that have URLs of their own in compute_backends, by origin: "
                    "https://a.example=token,https://b.example=token."},
    {ROW_NUMBER("compute-concurrency", "COMPUTE_CONCURRENCY", compute_concurrency, "8", 1, 256, "requests"),
     .audience = FOR_WORKER, .description = "Requests that one worker has open at that service."},
    {ROW_NUMBER("compute-per-minute", "COMPUTE_PER_MINUTE", compute_per_minute, "0", 0, 100000, "requests/min"),
     .audience = FOR_WORKER, .description = "Requests that one worker makes in a minute; 0: no limit."},
    {ROW_NUMBER("compute-timeout", "COMPUTE_TIMEOUT_MS", compute_timeout_ms, "30000", 100, DAY_MS, "ms"),
     .audience = FOR_WORKER, .description = "Longest wait for that service's word that it has a job."},
    {ROW_CHOICE("wordlist-backend", "WORDLIST_BACKEND", wordlist_backend, "embedded", "embedded|chat"),
     .audience = FOR_SCHEDULER | FOR_ENGINES,
     .description = "Who makes word lists: embedded in a runner, by frequency and dictionaries, or the chat server at "
                    "chat-url."},
    {ROW_NUMBER("wordlist-text", "WORDLIST_TEXT_BYTES", wordlist_text_bytes, "24000", 500, 1000000, "bytes"),
     .audience = FOR_WORKER, .description = "Most text of a document that the chat server is told."},
    {ROW_NUMBER("wordlist-cooldown", "WORDLIST_COOLDOWN_SECONDS", wordlist_cooldown_seconds, "60", 0, 86400, "s"),
     .audience = FOR_GATEWAY,
     .description = "How long a user waits after uploading one document for a word list before the next; "
                    "0: not at all."},
    {ROW_CHOICE("classify-backend", "CLASSIFY_BACKEND", classify_backend, "embedded", "embedded|chat"),
     .audience = FOR_GATEWAY | FOR_SCHEDULER | FOR_ENGINES,
     .description = "Who classifies: embedded in a runner, by words and the tenant's examples, or the chat server at "
                    "chat-url."},
    {ROW_NUMBER("classify-least", "CLASSIFY_LEAST", classify_least, "35", 0, 100, "percent"), .audience = FOR_GATEWAY,
     .description = "Below this confidence a document is unclassified."},
    {ROW_NUMBER("classify-examples", "CLASSIFY_EXAMPLES", classify_examples, "500", 2, 2000, "files"),
     .audience = FOR_GATEWAY,
     .description = "Examples of a tenant that its classifier learns from: the newest."},
    {ROW_NUMBER("classify-text", "CLASSIFY_TEXT_BYTES", classify_text_bytes, "12000", 500, 1000000, "bytes"),
     .audience = FOR_WORKER,
     .description = "Of a longer text the chat server is told the head, the middle and the tail, so much in all."},
    {ROW_NUMBER("form-bytes", "FORM_BYTES", form_bytes, "5368709120", 1024, INT64_C(5497558138880), "bytes"),
     .audience = FOR_GATEWAY,
     .description = "Largest multipart/form-data request; each file in it at most max-upload."},
    {ROW_NUMBER("form-memory", "FORM_MEMORY_BYTES", form_memory_bytes, "5242880", 5242880, GIB, "bytes"),
     .audience = FOR_GATEWAY,
     .description = "How much of a file a gateway holds of each such request; larger files are stored in parts of this "
                    "size, 10000 at most."},
    {ROW_NUMBER("form-parts", "FORM_PARTS", form_parts, "64", 1, 1000, "parts"), .audience = FOR_GATEWAY,
     .description = "Most files and fields in one."},
    {ROW_NUMBER("form-requests", "FORM_REQUESTS", form_requests, "4", 1, 1000, "requests"), .audience = FOR_GATEWAY,
     .description = "Such requests that one gateway reads at a time; more are told to come again (503)."},
    {ROW_TEXT("chat-url", "CHAT_URL", chat_url, NULL), .aliases = "OPENAI_BASE_URL", .audience = FOR_WORKER,
     .description = "Base URL of a server with OpenAI's /v1/chat/completions. Needed where a backend is chat."},
    {ROW_TEXT("chat-key", "CHAT_KEY", chat_key, NULL), .aliases = "OPENAI_API_KEY", .audience = FOR_WORKER,
     .secret = true,
     .description = "Bearer token for the chat server."},
    {ROW_TEXT("chat-temperature", "CHAT_TEMPERATURE", chat_temperature, "0"), .audience = FOR_WORKER,
     .description = "Temperature that the chat server is told: 0 to 2."},
    {ROW_TEXT("chat-model", "CHAT_MODEL", chat_model, "gpt-4o-mini"), .aliases = "OPENAI_MODEL", .audience = FOR_WORKER,
     .description = "Model that the chat server is asked for."},
    {ROW_NUMBER("chat-concurrency", "CHAT_CONCURRENCY", chat_concurrency, "4", 1, 256, "requests"),
     .audience = FOR_WORKER, .description = "Requests that one worker has open at the chat server."},
    {ROW_NUMBER("chat-per-minute", "CHAT_PER_MINUTE", chat_per_minute, "0", 0, 100000, "requests/min"),
     .audience = FOR_WORKER, .description = "Requests that one worker makes in a minute; 0: no limit."},
    {ROW_NUMBER("chat-timeout", "CHAT_TIMEOUT_MS", chat_timeout_ms, "120000", 100, DAY_MS, "ms"),
     .audience = FOR_WORKER, .description = "Longest wait for one answer of the chat server."},
    {ROW_NUMBER("service-connect-timeout", "SERVICE_CONNECT_TIMEOUT_MS", service_connect_timeout_ms, "5000", 10,
                3600000, "ms"),
     .audience = FOR_WORKER, .description = "Longest wait for a connection to a service."},
    {ROW_NUMBER("service-attempts", "SERVICE_ATTEMPTS", service_attempts, "3", 1, 20, "requests"),
     .audience = FOR_WORKER,
     .description = "Requests made for one task while a service is busy, failing or not there; then the task "
                    "ends and is tried again later."},
    {ROW_NUMBER("service-retry-after", "SERVICE_RETRY_AFTER_MS", service_retry_after_ms, "30000", 0, 3600000,
                "ms"),
     .audience = FOR_WORKER,
     .description = "Longest Retry-After that a task waits for; a longer one ends it, to be tried again later."},
    {ROW_NUMBER("service-answer", "SERVICE_ANSWER_BYTES", service_answer_bytes, "16777216", 1024, GIB, "bytes"),
     .audience = FOR_WORKER, .description = "Largest answer that is read from a service."},
    {ROW_NUMBER("service-breaker-failures", "SERVICE_BREAKER_FAILURES", service_breaker_failures, "5", 1, 10000,
                "requests"),
     .audience = FOR_WORKER,
     .description = "After so many failed requests in a row a service is left alone for service-breaker."},
    {ROW_NUMBER("service-breaker", "SERVICE_BREAKER_MS", service_breaker_ms, "30000", 10, DAY_MS, "ms"),
     .audience = FOR_WORKER,
     .description = "How long a failing service is left alone before one request tries it again; tasks for it "
                    "end at once meanwhile, to be tried again later."},

    {ROW_TEXT("channel", "CHANNEL_ENDPOINT", channel_endpoint, NULL),
     .audience = FOR_GATEWAY | FOR_SCHEDULER | FOR_WORKER,
     .heading = "Set by the supervisor for its children",
     .description = "Address of the scheduler's socket; set by the supervisor, not by people."},
    {ROW_TEXT("gateway-password", "GATEWAY_PASSWORD", gateway_password, NULL), .audience = FOR_MIGRATE,
     .secret = true,
     .description = "Password that filemill-migrate --login-passwords gives the role filemill_gateway."},
    {ROW_TEXT("scheduler-password", "SCHEDULER_PASSWORD", scheduler_password, NULL), .audience = FOR_MIGRATE,
     .secret = true,
     .description = "Password that filemill-migrate --login-passwords gives the role filemill_scheduler."},
};
const struct option_table settings_table = {rows, sizeof rows / sizeof rows[0]};

int settings_read(struct settings *settings, char *const *environment, char *error, size_t error_size) {
    return options_load(&settings_table, settings, environment, error, error_size);
}

void settings_apply_log(const struct settings *settings) {
    enum log_level level = LOG_INFO;
    if (log_level_parse(settings->log_level, &level) != 0) {
        fatal("log level %s is not in the table", settings->log_level);
    }
    log_set_level(level);
    log_set_json(strcmp(settings->log_format, "json") == 0);
}

void settings_load(struct settings *settings, const char *program) {
    char error[512];
    memset(settings, 0, sizeof *settings);
    log_init(program, LOG_INFO);
    if (settings_read(settings, environ, error, sizeof error) != 0) {
        log_error("state=refused error=\"%s\"", error);
        exit(2);
    }
    settings_apply_log(settings);
}

char **settings_environment(const struct settings *settings, unsigned audience) {
    struct settings view = *settings; /* borrows every text */
    if (audience == FOR_GATEWAY && view.gateway_database_url != NULL) {
        view.database_url = NULL;
    }
    if (audience == FOR_SCHEDULER && view.scheduler_database_url != NULL) {
        view.database_url = NULL;
    }
    return options_environment(&settings_table, &view, audience);
}

void settings_clear(struct settings *settings) {
    options_clear(&settings_table, settings);
    memset(settings, 0, sizeof *settings);
}

char *settings_store_origins(const struct settings *settings) {
    const char *given = settings->cors_origins;
    const char *url = settings->public_url;
    const char *host = url != NULL ? strstr(url, "://") : NULL;

    if (!settings->console)
        return given != NULL ? memory_copy_text(given) : NULL;
    return memory_format("%s%shttp://127.0.0.1:%lld,http://localhost:%lld%s%.*s", given != NULL ? given : "",
                         given != NULL ? "," : "", (long long)settings->gateway_port,
                         (long long)settings->gateway_port, host != NULL ? "," : "",
                         host != NULL ? (int)(host - url + 3 + (ptrdiff_t)strcspn(host + 3, "/?#")) : 0,
                         host != NULL ? url : "");
}

char *settings_state_directory(const struct settings *settings) {
    const char *base = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");

    if (settings->state_directory != NULL)
        return memory_copy_text(settings->state_directory);
    if (geteuid() == 0)
        return memory_copy_text("/var/lib/filemill");
    if (base != NULL && *base == '/')
        return memory_format("%s/filemill", base);
    if (home != NULL && *home == '/')
        return memory_format("%s/.local/state/filemill", home);
    return NULL;
}
