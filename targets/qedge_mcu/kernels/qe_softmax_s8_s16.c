/* SOFTMAX int8 to int16 in fixed point, as gemmlowp/fixedpoint/fixedpoint.h computes it. Qn.m: n integer bits. */
#include "qe_softmax_s8.h"

#include "qe_fixed_point.h"

static int32_t exp_scaled(const qe_softmax_params *p, int32_t diff)
{
    return qe_exp_negative(qe_high_mul(diff * ((int32_t)1 << p->left_shift), p->multiplier));
}

void qe_softmax_s8_s16(const qe_softmax_params *p, const int8_t *input, int16_t *output)
{
    for (uint32_t row = 0; row < p->rows; ++row) {
        int32_t largest = INT8_MIN;
        for (uint32_t i = 0; i < p->depth; ++i) {
            largest = input[i] > largest ? input[i] : largest;
        }
        int32_t sum = 0; /* Q12.19 */
        for (uint32_t i = 0; i < p->depth; ++i) {
            const int32_t diff = input[i] - largest;
            if (diff >= p->diff_min) {
                sum += qe_rounding_shift(exp_scaled(p, diff), 12);
            }
        }
        int32_t headroom = 0;
        while ((((uint32_t)sum << headroom) & 0x80000000u) == 0u) {
            ++headroom;
        }
        const int32_t scale = qe_reciprocal_one_plus((int32_t)(((uint32_t)sum << headroom) - 0x80000000u));
        for (uint32_t i = 0; i < p->depth; ++i) {
            const int32_t diff = input[i] - largest;
            int32_t y = INT16_MIN;
            if (diff >= p->diff_min) {
                y += qe_rounding_shift(qe_high_mul(scale, exp_scaled(p, diff)), 12 - headroom + 31 - 16);
            }
            output[i] = (int16_t)qe_clamp(y, INT16_MIN, INT16_MAX);
        }
        input += p->depth;
        output += p->depth;
    }
}
