/* SPDX-License-Identifier: MIT
 * GET /v1/processors: what can be ordered, as the catalog's rows describe it. Orders are in orders.c. */
#include "gateway/call.h"
#include "gateway/json.h"
#include "gateway/module.h"
#include "gateway/parameters.h"
#include "proto/processors.h"

/* --- what can be ordered -----------------------------------------------------------------------------------
 */

static json_int_t limit_of(int64_t setting, uint64_t row) {
    return setting > 0 ? (json_int_t)setting : (json_int_t)row;
}

static json_t *limits_of(const struct settings *settings, const struct processor_row *row) {
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "wall_ms",
                     limit_of(settings->limit_wall_ms, row->wall_ms), "no_progress_ms",
                     limit_of(settings->limit_no_progress_ms, row->no_progress_ms), "cpu_seconds",
                     limit_of(settings->limit_cpu_seconds, row->cpu_seconds), "memory_bytes",
                     limit_of(settings->limit_memory_bytes, row->memory_bytes), "output_bytes",
                     limit_of(settings->limit_output_bytes, row->output_bytes), "pages",
                     (json_int_t)settings->limit_pages, "pixels", (json_int_t)settings->limit_pixels);
}

static json_t *describe(const struct settings *settings, const struct catalog_row *row) {
    const struct processor_row *processor = processor_find(row->type);
    json_t *media = json_array();
    json_t *outputs = json_array();
    for (size_t i = 0; i < CATALOG_MAX_MEDIA && row->media[i] != NULL; i++) {
        json_array_append_new(media, json_string(row->media[i]));
    }
    for (size_t i = 0; processor != NULL && i < processor->output_count; i++) {
        json_array_append_new(outputs, json_pack("{s:s,s:s,s:s}", "kind", processor->outputs[i].kind, "mime",
                                                 processor->outputs[i].mime, "extension",
                                                 processor->outputs[i].extension));
    }
    return json_pack("{s:s,s:s,s:i,s:o,s:o,s:o,s:o}", "type", row->type, "summary", row->summary, "version",
                     (int)row->version, "media_types", media, "outputs", outputs, "parameters",
                     parameters_schema(row), "limits",
                     processor != NULL ? limits_of(settings, processor) : json_object());
}

static void handle_processors(struct call *call) {
    json_t *list = json_array();
    for (size_t i = 0; i < catalog_row_count; i++) {
        json_array_append_new(list, describe(&call->gateway->settings, &catalog_rows[i]));
    }
    json_t *body = json_pack("{s:o}", "processors", list);
    call_respond_take(call, 200, json_encode(body));
    json_decref(body);
}

/* ---- what it serves ---- */

static const struct route routes[] = {
    {.method = "GET",
     .pattern = "/v1/processors",
     .operation = "listProcessors",
     .flags = ROUTE_READS,
     .handler = handle_processors,
     .summary = "The types of jobs: what they take, make, and may be told.",
     .success = 200,
     .response = "Processors"},
};

static const struct answer_row answers[] = {
    {.name = "Output", .members = "kind:text mime:text extension:text"},
    {.name = "Processor",
     .members =
         "type:text summary:text version:integer media_types:[text] outputs:[Output] parameters:object "
         "limits:object"},
    {.name = "Processors", .members = "processors:[Processor]"},
};

const struct gateway_module processing_module = {
    .name = "processing", MODULE_ROUTES(routes), MODULE_ANSWERS(answers)};
