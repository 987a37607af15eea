#ifndef QE_DOT_4_PLAIN_H
#define QE_DOT_4_PLAIN_H

#include <stdint.h>

/* qe_dot_4_s8 without vectors; a caller whose offset is always 0 has a loop without it. */
static inline void qe_dot_4_plain(int32_t *sums, const int8_t *x, const int8_t *weights, int32_t n, int32_t offset)
{
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    /* GCC 12 at -Os for the Cortex-M55 drops the test of what is left over when the loop counts n down. */
    for (const int8_t *end = x + (n & ~1); x != end; x += 2) {
        const int32_t a = x[0] + offset, b = x[1] + offset;
        s0 += a * weights[0];
        s1 += a * weights[1];
        s2 += a * weights[2];
        s3 += a * weights[3];
        s0 += b * weights[4];
        s1 += b * weights[5];
        s2 += b * weights[6];
        s3 += b * weights[7];
        weights += 8;
    }
    if ((n & 1) != 0) {
        const int32_t a = x[0] + offset;
        s0 += a * weights[0];
        s1 += a * weights[1];
        s2 += a * weights[2];
        s3 += a * weights[3];
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

#endif
