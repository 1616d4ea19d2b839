/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-1 and SHA-256 against the examples of FIPS 180-4 (NIST's SHA_All.pdf and SHA Test Vectors), and in pieces.
 */
#include "base_test.h"
#include "base/base_error.h"
#include "base/base_sha.h"
#include <stdbool.h>

static const struct {
    const char *text;
    int times;
    const char *hex[2];
} vectors[] = {
    {"",
     1,
     {"da39a3ee5e6b4b0d3255bfef95601890afd80709", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}},
    {"abc",
     1,
     {"a9993e364706816aba3e25717850c26c9cd0d89d", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     1,
     {"84983e441c3bd26ebaae4aa1f95129e5e54670f1", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
     1,
     {"a49b2446a02c645bf419f995b67091253a04a259", "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"}},
    {"a",
     1000000,
     {"34aa973cd4c4daa4f61eeb2bdbad27316534016f", "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}},
};

static void known_digests(void **state) {
    char hex[BASE_SHA_HEX];
    for (size_t i = 0; i < BASE_COUNT(vectors); i++)
        for (int kind = 0; kind < 2; kind++) {
            base_sha s;
            base_sha_init(&s, kind ? BASE_SHA256 : BASE_SHA1);
            for (int k = 0; k < vectors[i].times; k++) base_sha_add(&s, vectors[i].text, strlen(vectors[i].text));
            base_sha_hex(&s, hex);
            assert_string_equal(hex, vectors[i].hex[kind]);
        }
}

/* Every length around a block's, cut at every place, gives what one piece gives. */
static void pieces_are_one_text(void **state) {
    static uint8_t bytes[200];
    char whole[BASE_SHA_HEX], cut[BASE_SHA_HEX];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37 + 11);
    for (int kind = 0; kind < 2; kind++)
        for (size_t n = 0; n < sizeof bytes; n += n < 50 || n > 132 ? 7 : 1)
            for (size_t at = 0; at <= n; at += 5) {
                base_sha a, b;
                base_sha_init(&a, kind ? BASE_SHA256 : BASE_SHA1);
                b = a;
                base_sha_add(&a, bytes, n);
                base_sha_hex(&a, whole);
                base_sha_add(&b, bytes, at);
                base_sha_hex(&b, cut); /* asking changes nothing */
                base_sha_add(&b, bytes + at, n - at);
                base_sha_hex(&b, cut);
                assert_string_equal(whole, cut);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_digests), cmocka_unit_test(pieces_are_one_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
