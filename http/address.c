/* SPDX-License-Identifier: MIT
 * Which addresses may be dialled on behalf of a user: global unicast only, by the IANA IPv4 and IPv6
 * Special-Purpose Address Registries (RFC 6890 and its successors). IPv6 forms that carry an IPv4 address are
 * judged by that address too, so that no translation or tunnel leads back inside. */
#include "http/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

struct range4 {
    uint32_t prefix;
    unsigned bits;
};

/* Not globally reachable, or not unicast. */
static const struct range4 refused4[] = {
    {0x00000000, 8},  /* 0.0.0.0/8 this network */
    {0x0a000000, 8},  /* 10.0.0.0/8 private */
    {0x64400000, 10}, /* 100.64.0.0/10 shared */
    {0x7f000000, 8},  /* 127.0.0.0/8 loopback */
    {0xa9fe0000, 16}, /* 169.254.0.0/16 link-local */
    {0xac100000, 12}, /* 172.16.0.0/12 private */
    {0xc0000000, 24}, /* 192.0.0.0/24 protocol assignments */
    {0xc0000200, 24}, /* 192.0.2.0/24 documentation */
    {0xc01fc400, 24}, /* 192.31.196.0/24 AS112 */
    {0xc034c100, 24}, /* 192.52.193.0/24 AMT */
    {0xc0586300, 24}, /* 192.88.99.0/24 6to4 relay anycast */
    {0xc0a80000, 16}, /* 192.168.0.0/16 private */
    {0xc0af3000, 24}, /* 192.175.48.0/24 AS112 */
    {0xc6120000, 15}, /* 198.18.0.0/15 benchmarking */
    {0xc6336400, 24}, /* 198.51.100.0/24 documentation */
    {0xcb007100, 24}, /* 203.0.113.0/24 documentation */
    {0xe0000000, 4},  /* 224.0.0.0/4 multicast */
    {0xf0000000, 4},  /* 240.0.0.0/4 reserved, and broadcast */
};

struct range6 {
    uint8_t prefix[16];
    unsigned bits;
    int embedded; /* offset of an IPv4 address that decides; -1: refused */
};

#define REFUSED (-1)

/* The first row that matches decides. Whatever is in none and outside 2000::/3 is refused as well. */
static const struct range6 ranges6[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 12},    /* ::ffff:0:0/96 v4-mapped */
    {{0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0}, 96, 12}, /* 64:ff9b::/96 NAT64 */
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 48, REFUSED},              /* 64:ff9b:1::/48 local NAT64 */
    {{0x20, 0x01, 0x00}, 23, REFUSED},                       /* 2001::/23 protocol assignments, Teredo */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, REFUSED},                 /* 2001:db8::/32 documentation */
    {{0x20, 0x02}, 16, 2},                                   /* 2002::/16 6to4 */
    {{0x26, 0x20, 0x00, 0x4f, 0x80}, 48, REFUSED},           /* 2620:4f:8000::/48 AS112 */
    {{0x3f, 0xff, 0x00}, 20, REFUSED},                       /* 3fff::/20 documentation */
};

static bool is_global4(uint32_t address) {
    for (size_t i = 0; i < sizeof(refused4) / sizeof(refused4[0]); i++) {
        if ((address ^ refused4[i].prefix) >> (32 - refused4[i].bits) == 0)
            return false;
    }
    return true;
}

static bool matches(const uint8_t *address, const struct range6 *range) {
    unsigned whole = range->bits / 8, rest = range->bits % 8;

    if (memcmp(address, range->prefix, whole) != 0)
        return false;
    return rest == 0 || (address[whole] ^ range->prefix[whole]) >> (8 - rest) == 0;
}

static bool is_global6(const uint8_t *address) {
    for (size_t i = 0; i < sizeof(ranges6) / sizeof(ranges6[0]); i++) {
        if (!matches(address, &ranges6[i]))
            continue;
        if (ranges6[i].embedded == REFUSED)
            return false;
        uint32_t embedded;
        memcpy(&embedded, address + ranges6[i].embedded, sizeof(embedded));
        return is_global4(ntohl(embedded));
    }
    return address[0] >> 5 == 1; /* 2000::/3, all that is allotted as global unicast */
}

bool http_address_is_global(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, address, sizeof(four));
        return is_global4(ntohl(four.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, address, sizeof(six));
        return is_global6(six.sin6_addr.s6_addr);
    }
    return false;
}
