/* Requantisation of 64-bit sums, as TFLite Micro does for 16-bit activations: one rounding, 16-bit multipliers. */
#ifndef QE_REQUANTIZE_S64_H
#define QE_REQUANTIZE_S64_H

#include "qe_common.h"

/* Return x * multiplier / 2^shift, rounded to nearest, ties upwards; |x| < 2^47, shift in [8, 46]. */
static inline int32_t qe_requantize_s64(int64_t x, int32_t multiplier, int32_t shift)
{
    return (int32_t)((x * multiplier + ((int64_t)1 << (shift - 1))) >> shift);
}

/* Return the sum of n products. 511 of them fit 32 bits, which is several times faster than to add in 64. */
static inline int64_t qe_dot_s16(const int16_t *x, const int8_t *weights, int32_t n)
{
    int64_t sum = 0;
    while (n > 0) {
        const int32_t count = n < 511 ? n : 511;
        int32_t part = 0;
        for (int32_t i = 0; i < count; ++i) {
            part += (int32_t)x[i] * weights[i];
        }
        sum += part;
        x += count;
        weights += count;
        n -= count;
    }
    return sum;
}

static inline int16_t qe_clamp_s16(int32_t x, int32_t low, int32_t high)
{
    return (int16_t)qe_clamp(x, low, high);
}

#endif
