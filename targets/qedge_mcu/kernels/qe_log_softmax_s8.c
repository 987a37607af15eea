/* LOG_SOFTMAX int8 in fixed point. Qn.m: n integer bits. */
#include "qe_log_softmax_s8.h"

#include "qe_fixed_point.h"

static int32_t leading_zeros(int32_t x)
{
    int32_t bits = 0;
    while (bits < 32 && (((uint32_t)x << bits) & 0x80000000u) == 0u) {
        ++bits;
    }
    return bits;
}

static int32_t half_sum(int32_t a, int32_t b)
{
    const int64_t sum = (int64_t)a + b;
    return (int32_t)((sum + (sum >= 0 ? 1 : -1)) / 2);
}

/* Return log(x) in Q5.26 for x >= 1 in Q12.19: a rational function around the fourth root of 1/2. */
static int32_t log_at_least_one(int32_t x)
{
    const int32_t log_2 = 1488522236, root_half = 1518500250, root_root_half = 1805811301;
    const int32_t quarter = 1 << 23; /* 1/4 in Q6.25 */
    const int32_t zeros = leading_zeros(x);
    const int32_t r_a = qe_saturating_left(qe_high_mul(qe_saturating_left(x, zeros - 1), root_half), 1);
    const int32_t power_a = qe_saturating_left(12 - zeros, 25) + quarter;
    const int32_t zeros_b = leading_zeros(qe_high_mul(x, root_half)) - 1;
    const int32_t r_b = qe_saturating_left(x, zeros_b);
    const int32_t power_b = qe_saturating_left(12 - zeros_b, 25) - quarter;
    const int32_t r = r_a < r_b ? r_a : r_b;
    const int32_t power = power_a > power_b ? power_a : power_b;
    const int32_t p = half_sum(r, root_root_half);
    const int32_t q = (r - root_root_half) * 2;
    const int32_t square = qe_high_mul(q, q);
    const int32_t above = qe_high_mul(q, r) + qe_high_mul(qe_high_mul(q, square), 117049297);
    const int32_t below = qe_high_mul(p, 1057819769 + q + qe_high_mul(127690142, square)) + qe_high_mul(638450708, q);
    const int32_t fraction = qe_high_mul(qe_rounding_shift(above, 6), qe_reciprocal_one_plus(below));
    return qe_saturating_left(qe_high_mul(power, log_2) + fraction, 1);
}

void qe_log_softmax_s8(const qe_log_softmax_params *p, const int8_t *input, int8_t *output)
{
    for (int32_t row = 0; row < p->rows; ++row) {
        int32_t largest = INT8_MIN;
        for (int32_t i = 0; i < p->depth; ++i) {
            largest = input[i] > largest ? input[i] : largest;
        }
        int32_t sum = 0; /* Q12.19 */
        for (int32_t i = 0; i < p->depth; ++i) {
            const int32_t diff = input[i] - largest;
            if (diff >= p->diff_min) {
                sum += qe_rounding_shift(qe_exp_negative(qe_requantize(diff, p->multiplier, p->shift)), 12);
            }
        }
        const int32_t log_sum = log_at_least_one(sum);
        const int32_t shifted = (int32_t)((uint32_t)log_sum + 0x80000000u);
        const int32_t reach = qe_requantize(shifted, p->reverse_multiplier, -p->reverse_shift);
        const int32_t least = reach > p->diff_min - 1 ? reach : p->diff_min - 1;
        for (int32_t i = 0; i < p->depth; ++i) {
            const int32_t diff = input[i] - largest;
            int32_t y = INT8_MIN;
            if (diff > least) {
                y = 127 + qe_rounding_shift(qe_requantize(diff, p->multiplier, p->shift) - log_sum, 31 - 5 - 4);
            }
            output[i] = qe_clamp_s8(y, INT8_MIN, INT8_MAX);
        }
        input += p->depth;
        output += p->depth;
    }
}
