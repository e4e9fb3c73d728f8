/* SPDX-License-Identifier: MIT
 * ListObjects, both versions, from the index: prefix, delimiter, paging. */
#include "lib/clock.h"
#include "lib/memory.h"
#include "lib/text.h"
#include "storage/store/routes.h"
#include "storage/store/xml.h"
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 1000
#define LIST_XML_MAX (16u << 20)
#define TOKEN_SIZE (2 * OBJECT_KEY_MAX)
#define OWNER "<Owner><ID>filemill</ID><DisplayName>filemill</DisplayName></Owner>"

struct listing {
    bool version_2;
    bool encode;
    bool owner;
    const char *prefix;
    const char *delimiter; /* "" if none */
    const char *start;     /* marker, start-after or the token's key: list what comes after */
    uint64_t max_keys;
    char token[TOKEN_SIZE]; /* decoded */
    /* result */
    uint64_t count;
    bool truncated;
    char last[OBJECT_KEY_MAX + 1]; /* key or common prefix */
    struct buffer contents;
    struct buffer prefixes;
    int cut;
};

static const char *or_empty(const char *text) {
    return text != NULL ? text : "";
}

static int append_name(struct listing *listing, struct buffer *out, const char *element, const char *name) {
    char encoded[3 * OBJECT_KEY_MAX + 1];

    if (!listing->encode)
        return xml_element(out, element, name);
    return text_percent_encode(encoded, sizeof(encoded), name, true) == 0 ? xml_element(out, element, encoded)
                                                                          : -1;
}

/* ---- what is asked ---- */

static enum s3_error read_limits(struct call *call, struct listing *listing) {
    const char *max_keys = call_query(call, "max-keys");
    const char *encoding = call_query(call, "encoding-type");

    listing->max_keys = KEYS_MAX;
    if (max_keys != NULL && max_keys[0] != '\0' &&
        text_parse_u64(max_keys, 0, INT32_MAX, &listing->max_keys) != 0)
        return S3_INVALID_ARGUMENT;
    if (listing->max_keys > KEYS_MAX)
        listing->max_keys = KEYS_MAX;
    if (encoding != NULL && strcmp(encoding, "url") != 0)
        return S3_INVALID_ARGUMENT;
    listing->encode = encoding != NULL;
    return S3_OK;
}

static enum s3_error read_question(struct call *call, struct listing *listing) {
    const char *type = call_query(call, "list-type");
    const char *owner = call_query(call, "fetch-owner");
    const char *token = call_query(call, "continuation-token");

    if (type != NULL && strcmp(type, "2") != 0)
        return S3_INVALID_ARGUMENT;
    listing->version_2 = type != NULL;
    listing->prefix = or_empty(call_query(call, "prefix"));
    listing->delimiter = or_empty(call_query(call, "delimiter"));
    listing->owner = !listing->version_2 || (owner != NULL && strcmp(owner, "true") == 0);
    listing->start = or_empty(call_query(call, listing->version_2 ? "start-after" : "marker"));
    if (strlen(listing->prefix) > OBJECT_KEY_MAX || strlen(listing->delimiter) > OBJECT_KEY_MAX ||
        strlen(listing->start) > OBJECT_KEY_MAX)
        return S3_INVALID_ARGUMENT;
    if (listing->version_2 && token != NULL) {
        int64_t size =
            text_base64url_decode(listing->token, sizeof(listing->token) - 1, token, strlen(token));
        if (size < 0 || size > OBJECT_KEY_MAX)
            return S3_INVALID_ARGUMENT;
        listing->token[size] = '\0';
        listing->start = listing->token;
    }
    return read_limits(call, listing);
}

/* ---- walking the index ---- */

/* Bytes of `key` up to and with the first delimiter behind the prefix; 0 if there is none. */
static size_t common_prefix_size(const struct listing *listing, const char *key) {
    const char *found;

    if (listing->delimiter[0] == '\0')
        return 0;
    found = strstr(key + strlen(listing->prefix), listing->delimiter);
    return found != NULL ? (size_t)(found - key) + strlen(listing->delimiter) : 0;
}

/* First entry behind every key that starts with `prefix`: no UTF-8 text holds the byte 0xff. */
static const struct index_entry *seek_past(const struct index *index, const char *prefix, size_t size) {
    char *bound = memory_new(size + 2);
    const struct index_entry *entry;

    memcpy(bound, prefix, size);
    bound[size] = (char)0xff;
    entry = index_seek(index, bound, false);
    free(bound);
    return entry;
}

static const struct index_entry *seek_start(const struct index *index, const struct listing *listing) {
    const char *start = listing->start;

    if (strcmp(start, listing->prefix) < 0 || start[0] == '\0')
        return index_seek(index, listing->prefix, false);
    /* A page that ended with a common prefix goes on behind all of it. */
    if (text_starts_with(start, listing->prefix) && common_prefix_size(listing, start) == strlen(start))
        return seek_past(index, start, strlen(start));
    return index_seek(index, start, true);
}

static void append_entry(struct listing *listing, const struct index_entry *entry) {
    char modified[32];
    char etag[OBJECT_ETAG_SIZE + 2];
    struct buffer *out = &listing->contents;

    clock_format_iso8601(modified, sizeof(modified), index_modified_ms(entry));
    quote_etag(etag, index_etag(entry));
    listing->cut |= buffer_append_text(out, "<Contents>");
    listing->cut |= append_name(listing, out, "Key", index_key(entry));
    listing->cut |= xml_element(out, "LastModified", modified);
    listing->cut |= xml_element(out, "ETag", etag);
    listing->cut |= xml_element_number(out, "Size", (long long)index_size(entry));
    listing->cut |= listing->owner ? buffer_append_text(out, OWNER) : 0;
    listing->cut |= buffer_append_text(out, "<StorageClass>STANDARD</StorageClass></Contents>");
}

static void walk(const struct index *index, struct listing *listing) {
    const struct index_entry *entry = seek_start(index, listing);

    while (entry != NULL && text_starts_with(index_key(entry), listing->prefix)) {
        size_t size = common_prefix_size(listing, index_key(entry));
        if (listing->count == listing->max_keys) {
            listing->truncated = listing->max_keys > 0;
            return;
        }
        listing->count++;
        (void)text_copy(listing->last, sizeof(listing->last), index_key(entry));
        if (size == 0) {
            append_entry(listing, entry);
            entry = index_next(entry);
            continue;
        }
        listing->last[size] = '\0';
        listing->cut |= buffer_append_text(&listing->prefixes, "<CommonPrefixes>");
        listing->cut |= append_name(listing, &listing->prefixes, "Prefix", listing->last);
        listing->cut |= buffer_append_text(&listing->prefixes, "</CommonPrefixes>");
        entry = seek_past(index, listing->last, size);
    }
}

/* ---- the answer ---- */

static void append_paging(struct call *call, struct listing *listing, struct buffer *xml) {
    char token[TOKEN_SIZE];

    if (!listing->version_2) {
        listing->cut |= append_name(listing, xml, "Marker", listing->start);
        if (listing->truncated)
            listing->cut |= append_name(listing, xml, "NextMarker", listing->last);
        return;
    }
    listing->cut |= xml_element_number(xml, "KeyCount", (long long)listing->count);
    if (call_query(call, "start-after") != NULL)
        listing->cut |= append_name(listing, xml, "StartAfter", call_query(call, "start-after"));
    if (call_query(call, "continuation-token") != NULL)
        listing->cut |= xml_element(xml, "ContinuationToken", call_query(call, "continuation-token"));
    if (listing->truncated) {
        listing->cut |= text_base64url_encode(token, sizeof(token), listing->last, strlen(listing->last));
        listing->cut |= xml_element(xml, "NextContinuationToken", token);
    }
}

static void answer_listing(struct call *call, struct listing *listing) {
    struct buffer xml;

    buffer_init(&xml, LIST_XML_MAX);
    listing->cut |=
        buffer_append_text(&xml, XML_DECLARATION "<ListBucketResult xmlns=\"" XML_NAMESPACE "\">");
    listing->cut |= xml_element(&xml, "Name", call->bucket_name);
    listing->cut |= append_name(listing, &xml, "Prefix", listing->prefix);
    if (listing->delimiter[0] != '\0')
        listing->cut |= append_name(listing, &xml, "Delimiter", listing->delimiter);
    listing->cut |= xml_element_number(&xml, "MaxKeys", (long long)listing->max_keys);
    listing->cut |= listing->encode ? xml_element(&xml, "EncodingType", "url") : 0;
    listing->cut |= xml_element(&xml, "IsTruncated", listing->truncated ? "true" : "false");
    append_paging(call, listing, &xml);
    if (listing->contents.size > 0)
        listing->cut |= buffer_append(&xml, listing->contents.data, listing->contents.size);
    if (listing->prefixes.size > 0)
        listing->cut |= buffer_append(&xml, listing->prefixes.data, listing->prefixes.size);
    listing->cut |= buffer_append_text(&xml, "</ListBucketResult>");
    call_reply_document(call, &xml, listing->cut);
}

void list_objects(struct call *call) {
    struct bucket *bucket = call_bucket(call);
    struct listing *listing;
    enum s3_error error;

    if (bucket == NULL)
        return;
    listing = memory_new(sizeof(*listing));
    buffer_init(&listing->contents, LIST_XML_MAX);
    buffer_init(&listing->prefixes, LIST_XML_MAX);
    error = read_question(call, listing);
    if (error == S3_OK) {
        walk(bucket->index, listing);
        answer_listing(call, listing);
    } else {
        call_fail(call, error);
    }
    buffer_clear(&listing->prefixes);
    buffer_clear(&listing->contents);
    free(listing);
}
