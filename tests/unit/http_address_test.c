/* SPDX-License-Identifier: MIT
 * Which addresses are global unicast: the first and last of every special range, their neighbours, and the
 * IPv6 forms that hide an IPv4 address. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "http/client.h"

static const char *const global[] = {
    "1.0.0.0",          "9.255.255.255",        "11.0.0.0",
    "100.63.255.255",   "100.128.0.0",          "126.255.255.255",
    "128.0.0.0",        "169.253.255.255",      "169.255.0.0",
    "172.15.255.255",   "172.32.0.0",           "191.255.255.255",
    "192.0.1.0",        "192.167.255.255",      "192.169.0.0",
    "198.17.255.255",   "198.20.0.0",           "198.51.99.255",
    "203.0.112.255",    "203.0.114.0",          "223.255.255.255",
    "8.8.8.8",          "2606:4700::1111",      "2a00::1",
    "2400::1",          "2001:4860:4860::8888", "::ffff:8.8.8.8",
    "64:ff9b::808:808", "2002:808:808::1",      "3ffe::1",
    "2001:200::1",
};

static const char *const refused[] = {
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.255",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.255.255",
    "192.175.48.1",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.0",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.255",
    "::",
    "::1",
    "::2",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:0",
    "::fffe:8.8.8.8",
    "64:ff9b::a00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::808:808",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:0:808:808:0:0:80ff:fffe",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:c0a8:101::1",
    "2620:4f:8000::1",
    "3fff::1",
    "3fff:fff:ffff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fdff::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ffff::1",
    "1fff::1",
};

static bool is_global(const char *text) {
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        return http_address_is_global((struct sockaddr *)&four);
    if (inet_pton(AF_INET6, text, &six.sin6_addr) != 1)
        fail_msg("not an address: %s", text);
    return http_address_is_global((struct sockaddr *)&six);
}

static void global_addresses_pass(void **state) {
    for (size_t i = 0; i < sizeof(global) / sizeof(global[0]); i++) {
        if (!is_global(global[i]))
            fail_msg("%s must pass", global[i]);
    }
}

static void special_addresses_do_not(void **state) {
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (is_global(refused[i]))
            fail_msg("%s must not pass", refused[i]);
    }
}

static void mapping_never_widens(void **state) {
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct in_addr four;
        struct sockaddr_in6 six = {.sin6_family = AF_INET6};
        if (inet_pton(AF_INET, refused[i], &four) != 1)
            continue;
        six.sin6_addr.s6_addr[10] = six.sin6_addr.s6_addr[11] = 0xff;
        memcpy(&six.sin6_addr.s6_addr[12], &four, 4);
        assert_false(http_address_is_global((struct sockaddr *)&six));
    }
}

static void other_families_do_not_pass(void **state) {
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/x"};

    assert_false(http_address_is_global((struct sockaddr *)&local));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(global_addresses_pass),
        cmocka_unit_test(special_addresses_do_not),
        cmocka_unit_test(mapping_never_widens),
        cmocka_unit_test(other_families_do_not_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
