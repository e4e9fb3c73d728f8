/* SPDX-License-Identifier: MIT
 * What a request line and header fields may look like (RFC 9112 §3 and §6, RFC 9110 §5 and §7.2, RFC 3986).
 * Fields that decide where a message ends, or whom it is for, occur once and in one spelling. */
#include "http/guard.h"

#include <string.h>
#include <strings.h>

#define LENGTH_DIGITS_MAX 18u

static const struct guard_refusal bad_line = {400, "bad_request", "malformed request line"};
static const struct guard_refusal bad_target = {400, "bad_request", "malformed target"};
static const struct guard_refusal long_target = {414, "uri_too_long", "target too long"};
static const struct guard_refusal long_query = {414, "uri_too_long", "too many query parameters"};
static const struct guard_refusal bad_version = {505, "version_not_supported", "unknown version"};
static const struct guard_refusal tunnel = {405, "method_not_allowed", "CONNECT"};
static const struct guard_refusal long_method = {501, "not_implemented", "method too long"};
static const struct guard_refusal bad_field = {400, "bad_request", "malformed header field"};
static const struct guard_refusal many_fields = {431, "headers_too_large", "too many header fields"};
static const struct guard_refusal padded = {400, "bad_request", "blanks around a framing field"};
static const struct guard_refusal repeated = {400, "bad_request", "repeated header field"};
static const struct guard_refusal bad_length = {400, "bad_request", "malformed Content-Length"};
static const struct guard_refusal huge_length = {413, "payload_too_large", "Content-Length too large"};
static const struct guard_refusal bad_host = {400, "bad_request", "missing or malformed Host"};
static const struct guard_refusal bad_coding = {400, "bad_request", "malformed Transfer-Encoding"};
static const struct guard_refusal unknown_coding = {501, "not_implemented", "unknown transfer coding"};
static const struct guard_refusal two_frames = {400, "bad_request", "Content-Length with Transfer-Encoding"};
static const struct guard_refusal bad_expect = {417, "expectation_failed", "unknown expectation"};
static const struct guard_refusal framing_trailer = {400, "bad_request", "forbidden trailer field"};

static bool is_alphanumeric(unsigned char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static bool is_hex(unsigned char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

static bool is_one_of(unsigned char byte, const char *set) {
    return byte != '\0' && strchr(set, byte) != NULL;
}

static bool is_token(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (!is_alphanumeric((unsigned char)text[i]) && !is_one_of((unsigned char)text[i], "!#$%&'*+-.^_`|~"))
            return false;
    }
    return size > 0;
}

static bool equals(const char *text, size_t size, const char *expected) {
    return size == strlen(expected) && strncasecmp(text, expected, size) == 0;
}

/* Every escape whole and none of them a NUL; no byte that another reader might repair. */
static const struct guard_refusal *check_target(const char *target, size_t size) {
    size_t parameters = 0;

    if (size > GUARD_TARGET_MAX)
        return &long_target;
    if (size == 0 || (target[0] != '/' && !(size == 1 && target[0] == '*')))
        return &bad_target;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)target[i];
        if (byte <= ' ' || byte >= 0x7f || is_one_of(byte, "\"#<>\\"))
            return &bad_target;
        if (byte == '%') {
            if (size - i < 3 || !is_hex((unsigned char)target[i + 1]) ||
                !is_hex((unsigned char)target[i + 2]) || (target[i + 1] == '0' && target[i + 2] == '0'))
                return &bad_target;
        }
        if (byte == '&' && ++parameters >= GUARD_QUERY_COUNT_MAX)
            return &long_query;
    }
    return NULL;
}

const struct guard_refusal *guard_check_request_line(const char *line, size_t size, struct guard_head *head) {
    const char *end = line + size;
    const char *target = memchr(line, ' ', size);

    if (target == NULL || !is_token(line, (size_t)(target - line)))
        return &bad_line;
    size_t method_size = (size_t)(target - line);
    if (method_size > GUARD_METHOD_MAX)
        return &long_method;
    target++;
    const char *version = memchr(target, ' ', (size_t)(end - target));
    if (version == NULL) /* HTTP/0.9 has none */
        return &bad_line;
    size_t target_size = (size_t)(version - target);
    version++;
    size_t version_size = (size_t)(end - version);
    if (version_size != 8 || memcmp(version, "HTTP/", 5) != 0 || version[5] < '0' || version[5] > '9' ||
        version[6] != '.' || version[7] < '0' || version[7] > '9')
        return &bad_line;
    if (version[5] != '1' || version[7] > '1')
        return &bad_version;
    head->http10 = version[7] == '0';
    if (equals(line, method_size, "CONNECT"))
        return &tunnel;
    if (target_size == 1 && target[0] == '*' && !equals(line, method_size, "OPTIONS"))
        return &bad_target;
    return check_target(target, target_size);
}

/* ---- fields ---- */

static const struct guard_refusal *check_length(const char *value, size_t size, struct guard_head *head) {
    uint64_t length = 0;

    if (size == 0 || (value[0] == '0' && size > 1))
        return &bad_length;
    for (size_t i = 0; i < size; i++) {
        if (value[i] < '0' || value[i] > '9')
            return &bad_length;
        if (i < LENGTH_DIGITS_MAX)
            length = length * 10 + (uint64_t)(value[i] - '0');
    }
    if (size > 20 || (size == 20 && strncmp(value, "18446744073709551615", 20) > 0))
        return &bad_length; /* not a number of 64 bits */
    if (size > LENGTH_DIGITS_MAX)
        return &huge_length;
    head->content_length = length;
    return NULL;
}

static const struct guard_refusal *check_coding(const char *value, size_t size, struct guard_head *head) {
    size_t start = 0;
    bool chunked = false, unknown = false;

    for (size_t i = 0; i <= size; i++) {
        if (i < size && value[i] != ',')
            continue;
        size_t end = i;
        while (start < end && (value[start] == ' ' || value[start] == '\t'))
            start++;
        while (end > start && (value[end - 1] == ' ' || value[end - 1] == '\t'))
            end--;
        if (chunked || !is_token(value + start, end - start))
            return &bad_coding; /* chunked comes last, and once */
        if (equals(value + start, end - start, "chunked"))
            chunked = true;
        else
            unknown = true;
        start = i + 1;
    }
    if (head->http10)
        return &bad_coding;
    head->chunked = true;
    return unknown || !chunked ? &unknown_coding : NULL;
}

static bool is_port(const char *text, size_t size) {
    unsigned port = 0;

    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || size > 5)
            return false;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return size > 0 && port <= 65535;
}

static const struct guard_refusal *check_host(const char *value, size_t size, struct guard_head *head) {
    const char *inside = "-._~!$&'()*+,;=%";
    size_t name_size = 0;

    if (size > 0 && value[0] == '[') {
        const char *bracket = memchr(value, ']', size);
        if (bracket == NULL || bracket - value < 3)
            return &bad_host;
        for (const char *at = value + 1; at < bracket; at++) {
            if (!is_hex((unsigned char)*at) && !is_one_of((unsigned char)*at, ":."))
                return &bad_host;
        }
        name_size = (size_t)(bracket - value) + 1;
    } else {
        while (name_size < size && (is_alphanumeric((unsigned char)value[name_size]) ||
                                    is_one_of((unsigned char)value[name_size], inside)))
            name_size++;
    }
    if (name_size == 0 || name_size > 255)
        return &bad_host;
    if (name_size == size)
        return NULL;
    return value[name_size] == ':' && is_port(value + name_size + 1, size - name_size - 1) ? NULL : &bad_host;
}

static const struct guard_refusal *check_expect(const char *value, size_t size, struct guard_head *head) {
    return head->http10 || equals(value, size, "100-continue") ? NULL : &bad_expect;
}

enum special {
    SPECIAL_HOST,
    SPECIAL_LENGTH,
    SPECIAL_CODING,
    SPECIAL_EXPECT,
    SPECIAL_AUTHORIZATION,
    SPECIAL_COUNT
};

/* Of a field that decides where a message ends, blanks around the value are refused although RFC 9112 §5
 * allows them: libmicrohttpd takes `chunked ` for a coding that it does not know and `5 ` for no number, so
 * that it would read another message than the guard. */
static const struct special_field {
    const char *name;
    bool frames;
    const struct guard_refusal *(*check)(const char *value, size_t size, struct guard_head *head);
} special_fields[] = {
    [SPECIAL_HOST] = {"Host", false, check_host},
    [SPECIAL_LENGTH] = {"Content-Length", true, check_length},
    [SPECIAL_CODING] = {"Transfer-Encoding", true, check_coding},
    [SPECIAL_EXPECT] = {"Expect", false, check_expect},
    [SPECIAL_AUTHORIZATION] = {"Authorization", false, NULL},
};
_Static_assert(sizeof(special_fields) / sizeof(special_fields[0]) == SPECIAL_COUNT,
               "one row per special field");

struct field {
    const char *name, *value;
    size_t name_size, value_size;
    bool padded; /* more around the value than one space before it */
};

/* RFC 9112 §5: no blank before the colon, no folded line. Control bytes were refused before. */
static int split_field(const char *line, size_t size, struct field *field) {
    const char *colon = memchr(line, ':', size);

    if (colon == NULL || !is_token(line, (size_t)(colon - line)))
        return -1;
    const char *end = line + size;
    field->name = line;
    field->name_size = (size_t)(colon - line);
    field->value = colon + 1;
    while (field->value < end && (*field->value == ' ' || *field->value == '\t'))
        field->value++;
    while (end > field->value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    field->value_size = (size_t)(end - field->value);
    field->padded =
        end != line + size || (field->value > colon + 1 && (field->value > colon + 2 || colon[1] != ' '));
    for (const char *at = field->value; at < end; at++) {
        if (((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7f)
            return -1;
    }
    return 0;
}

static int find_special(const struct field *field) {
    for (int i = 0; i < SPECIAL_COUNT; i++) {
        if (equals(field->name, field->name_size, special_fields[i].name))
            return i;
    }
    return -1;
}

static const struct guard_refusal *check_special(const struct field *field, struct guard_head *head) {
    int special = find_special(field);

    if (special < 0)
        return NULL;
    if (field->padded && special_fields[special].frames)
        return &padded;
    if (head->seen & 1u << special)
        return special == SPECIAL_HOST ? &bad_host : &repeated;
    head->seen |= 1u << special;
    if (special_fields[special].check == NULL)
        return NULL;
    return special_fields[special].check(field->value, field->value_size, head);
}

const struct guard_refusal *guard_check_field(const char *line, size_t size, struct guard_head *head) {
    struct field field;

    if (split_field(line, size, &field) != 0)
        return &bad_field;
    if (++head->count > GUARD_FIELD_COUNT_MAX)
        return &many_fields;
    const struct guard_refusal *refusal = check_special(&field, head);
    if (refusal == NULL || refusal->status == 400)
        return refusal;
    head->later = refusal;
    return NULL;
}

const struct guard_refusal *guard_check_head_end(const struct guard_head *head) {
    if (!head->http10 && (head->seen & 1u << SPECIAL_HOST) == 0)
        return &bad_host;
    if ((head->seen & 1u << SPECIAL_LENGTH) != 0 && (head->seen & 1u << SPECIAL_CODING) != 0)
        return &two_frames;
    return head->later;
}

const struct guard_refusal *guard_check_trailer(const char *line, size_t size) {
    struct field field;

    if (split_field(line, size, &field) != 0)
        return &bad_field;
    return find_special(&field) >= 0 ? &framing_trailer : NULL;
}
