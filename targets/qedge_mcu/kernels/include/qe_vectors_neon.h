/* What qe_vectors.h has, by NEON: qe_vectors_sse.h says what each function does. */
#ifndef QE_VECTORS_NEON_H
#define QE_VECTORS_NEON_H

#include "qe_common.h"

#if defined(__ARM_NEON)

#define QE_VECTORS 1
#include <arm_neon.h>

typedef int32x4_t qe_v4;
typedef int16x8_t qe_v8;

typedef struct {
    int32x4_t multiplier, shift;
} qe_scale;

typedef struct {
    int16x8_t zero_point;
    int8x8_t low, high;
} qe_range;

static inline qe_v8 qe_v8_repeat(int32_t x)
{
    return vdupq_n_s16((int16_t)x);
}

static inline qe_v4 qe_v4_load(const int32_t *from)
{
    return vld1q_s32(from);
}

static inline void qe_v4_store(int32_t *to, qe_v4 x)
{
    vst1q_s32(to, x);
}

static inline qe_v8 qe_v8_load_s8(const int8_t *from)
{
    return vmovl_s8(vld1_s8(from));
}

static inline qe_v8 qe_v8_add(qe_v8 a, qe_v8 b)
{
    return vaddq_s16(a, b);
}

static inline qe_v8 qe_v8_max(qe_v8 a, qe_v8 b)
{
    return vmaxq_s16(a, b);
}

static inline qe_v4 qe_v4_add(qe_v4 a, qe_v4 b)
{
    return vaddq_s32(a, b);
}

static inline qe_v4 qe_v4_zero(void)
{
    return vdupq_n_s32(0);
}

static inline qe_v4 qe_v4_add_dot(qe_v4 sums, qe_v8 x, qe_v8 y)
{
    sums = vmlal_s16(sums, vget_low_s16(x), vget_low_s16(y));
    return vmlal_s16(sums, vget_high_s16(x), vget_high_s16(y));
}

static inline void qe_v8_multiply(qe_v4 *low, qe_v4 *high, qe_v8 x, qe_v8 y)
{
    *low = vmull_s16(vget_low_s16(x), vget_low_s16(y));
    *high = vmull_s16(vget_high_s16(x), vget_high_s16(y));
}

static inline qe_v4 qe_v4_totals(const qe_v4 sums[4])
{
    int32x2_t halves[4];
    for (int32_t i = 0; i < 4; ++i) {
        halves[i] = vpadd_s32(vget_low_s32(sums[i]), vget_high_s32(sums[i]));
    }
    return vcombine_s32(vpadd_s32(halves[0], halves[1]), vpadd_s32(halves[2], halves[3]));
}

static inline void qe_v8_add_multiples(qe_v4 *low, qe_v4 *high, qe_v8 y0, int32_t x0, qe_v8 y1, int32_t x1)
{
    *low = vmlal_n_s16(vmlal_n_s16(*low, vget_low_s16(y0), (int16_t)x0), vget_low_s16(y1), (int16_t)x1);
    *high = vmlal_n_s16(vmlal_n_s16(*high, vget_high_s16(y0), (int16_t)x0), vget_high_s16(y1), (int16_t)x1);
}

static inline qe_v4 qe_v8_lower(qe_v8 x, int32_t shift)
{
    return vshlq_s32(vmovl_s16(vget_low_s16(x)), vdupq_n_s32(shift));
}

static inline qe_v4 qe_v8_upper(qe_v8 x, int32_t shift)
{
    return vshlq_s32(vmovl_s16(vget_high_s16(x)), vdupq_n_s32(shift));
}

static inline void qe_v8_add_products(qe_v4 *low, qe_v4 *high, qe_v8 x, qe_v8 weights)
{
    *low = vmlal_s16(*low, vget_low_s16(x), vget_low_s16(weights));
    *high = vmlal_s16(*high, vget_high_s16(x), vget_high_s16(weights));
}

static inline void qe_v8_add_products_2(qe_v4 *low, qe_v4 *high, qe_v8 x0, qe_v8 weights0, qe_v8 x1, qe_v8 weights1)
{
    qe_v8_add_products(low, high, x0, weights0);
    qe_v8_add_products(low, high, x1, weights1);
}

#define QE_HALF(X, PAIR) ((PAIR) < 2 ? vget_low_s16(X) : vget_high_s16(X))
#define QE_V4_ADD_TWO(SUMS, X, WEIGHTS, PAIR) \
    SUMS = vmlal_lane_s16(SUMS, vget_low_s16(WEIGHTS), QE_HALF(X, PAIR), 2 * ((PAIR) & 1)); \
    SUMS = vmlal_lane_s16(SUMS, vget_high_s16(WEIGHTS), QE_HALF(X, PAIR), 2 * ((PAIR) & 1) + 1)

typedef int8_t qe_value;
typedef int16x4_t qe_inputs;
typedef int8x8_t qe_weights;

static inline qe_inputs qe_inputs_load(const qe_value *from)
{
    return vreinterpret_s16_s8(vld1_s8(from));
}

static inline qe_weights qe_weights_load(const int8_t *from)
{
    return vld1_s8(from);
}

static inline qe_weights qe_weights_zero(void)
{
    return vdup_n_s8(0);
}

#define QE_PAIR(X, PAIR) vreinterpret_s8_s16(vdup_lane_s16(X, PAIR))
#define QE_ADD_PAIRS(SUMS, X, W0, W1, PAIR) \
    SUMS = vpadalq_s16(SUMS, vmlal_s8(vmull_s8(W0, QE_PAIR(X, PAIR)), W1, QE_PAIR(X, (PAIR) + 1)))

static inline qe_value *qe_values_fill(qe_value *to, int32_t x, int32_t n)
{
    memset(to, (int)x, (size_t)n);
    return to + n;
}

static inline qe_value *qe_values_copy(qe_value *to, const int8_t *from, int32_t n)
{
    memcpy(to, from, (size_t)n);
    return to + n;
}

static inline qe_scale qe_scale_load(const int32_t *multiplier, const int8_t *shift)
{
    qe_scale s;
    uint32_t shifts;
    memcpy(&shifts, shift, sizeof shifts);
    s.multiplier = vld1q_s32(multiplier);
    s.shift = vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(shifts)))));
    return s;
}

/* qe_requantize; one less where it is negative and shifted, so that ties go away from zero. */
static inline qe_v4 qe_v4_requantize(qe_v4 x, const qe_scale *s)
{
    const int32x4_t y = vqrdmulhq_s32(x, s->multiplier);
    return vrshlq_s32(vqaddq_s32(y, vshrq_n_s32(vandq_s32(y, s->shift), 31)), s->shift);
}

static inline qe_range qe_range_of(int32_t zero_point, int32_t low, int32_t high)
{
    qe_range r;
    r.zero_point = qe_v8_repeat(zero_point);
    r.low = vdup_n_s8((int8_t)low);
    r.high = vdup_n_s8((int8_t)high);
    return r;
}

static inline void qe_outputs_store(int8_t *to_a, int8_t *to_b, qe_v4 a, qe_v4 b, const qe_range *r)
{
    const int16x8_t x = vqaddq_s16(vcombine_s16(vqmovn_s32(a), vqmovn_s32(b)), r->zero_point);
    const int32x2_t fours = vreinterpret_s32_s8(vmin_s8(vmax_s8(vqmovn_s16(x), r->low), r->high));
    const int32_t four_a = vget_lane_s32(fours, 0), four_b = vget_lane_s32(fours, 1);
    memcpy(to_a, &four_a, 4);
    memcpy(to_b, &four_b, 4);
}

#endif

#endif
