/* LOGISTIC and TANH int8 without a table. The generator has run this arithmetic for all 256 values. */
#include "qe_sigmoid_s8.h"

#include "qe_high.h"

void qe_sigmoid_s8(int32_t factor, int32_t start, uint32_t count, const int8_t *input, int8_t *output)
{
    for (const int8_t *end = input + count; input != end; ++input) {
        const uint32_t t = qe_saturate_u27(start + *input * factor);
        /* 2^30 / 2^(f + 1/2) for the fraction f of t less one half, in [-1/2, 1/2) */
        const int32_t f = (int32_t)((t << 10) ^ 0x80000000u);
        int32_t power = qe_high_add(7339192, f, -42458767);
        power = qe_high_add(power, f, 182389715);
        power = qe_high_add(power, f, -526252240);
        power = qe_high_add(power, f, 759250125);
        const uint32_t inverse = (uint32_t)power >> (t >> 22); /* exp(-x), 21 bits behind the point */
        const int32_t twice = (int32_t)(((uint32_t)1 << 30) / (((uint32_t)1 << 21) + inverse));
        *output++ = qe_saturate_half_s8(twice - 255);
    }
}
