/* Functions in fixed point, as gemmlowp/fixedpoint/fixedpoint.h computes them. Qn.m: n integer bits. */
#ifndef QE_FIXED_POINT_H
#define QE_FIXED_POINT_H

#include "qe_common.h"

/* Return exp(x) in Q0.31 for x in [-1/4, 0) in Q0.31: a Taylor polynomial around -1/8. */
static inline int32_t qe_exp_quarter(int32_t a)
{
    const int32_t exp_eighth = 1895147668; /* exp(-1/8) */
    const int32_t third = 715827883;
    const int32_t x = a + ((int32_t)1 << 28);
    const int32_t x2 = qe_high_mul(x, x);
    const int32_t x3 = qe_high_mul(x2, x);
    const int32_t x4 = qe_high_mul(x2, x2);
    const int32_t x4_quarter = qe_rounding_shift(x4, 2);
    const int32_t rest = qe_rounding_shift(qe_high_mul(x4_quarter + x3, third) + x2, 1);
    return exp_eighth + qe_high_mul(exp_eighth, x + rest);
}

/* Return exp(a) in Q0.31 for a <= 0 in Q5.26. */
static inline int32_t qe_exp_negative(int32_t a)
{
    /* exp(-2^(i - 2)) in Q0.31 */
    static const int32_t power[7] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int32_t quarter = (int32_t)1 << 24;
    const int32_t fraction = (a & (quarter - 1)) - quarter;
    if (a == 0) {
        return INT32_MAX;
    }
    int32_t result = qe_exp_quarter(fraction * 32);
    const uint32_t remainder = (uint32_t)(fraction - a);
    for (uint32_t i = 0; i < 7u; ++i) {
        if ((remainder >> (24u + i)) & 1u) {
            result = qe_high_mul(result, power[i]);
        }
    }
    return result;
}

static inline int32_t qe_saturating_left(int32_t x, int32_t shift)
{
    const int32_t limit = (int32_t)(((uint32_t)1 << (31 - shift)) - 1u);
    if (x > limit) {
        return INT32_MAX;
    }
    if (x < -limit - 1) {
        return INT32_MIN;
    }
    return x * ((int32_t)1 << shift);
}

/* Return 1 / (1 + a) in Q0.31 for a in [0, 1) in Q0.31: Newton's method in Q2.29. */
static inline int32_t qe_reciprocal_one_plus(int32_t a)
{
    const int32_t half = (int32_t)(((int64_t)a + INT32_MAX + 1) / 2);
    int32_t x = 1515870810 + qe_high_mul(half, -1010580540); /* 48/17 - 32/17 * half */
    for (int32_t i = 0; i < 3; ++i) {
        const int32_t error = ((int32_t)1 << 29) - qe_high_mul(half, x);
        x += qe_saturating_left(qe_high_mul(x, error), 2);
    }
    return qe_saturating_left(x, 1);
}

#endif
