/* Vectors of 128 bits, for libraries that run under an operating system: SSE4.1 and NEON. QE_VECTORS is 1 where the
 * compiler may use one of them; elsewhere the kernels are the portable ones. */
#ifndef QE_VECTORS_H
#define QE_VECTORS_H

#include "qe_common.h"

#if defined(__SSE4_1__)

#define QE_VECTORS 1
#include <smmintrin.h>

typedef __m128i qe_v4; /* four int32 */
typedef __m128i qe_v8; /* eight int16 */

/* What four sums need to become outputs; odd: for the lanes 1 and 3, factor: 2^(31 + shift), unsigned. */
typedef struct {
    __m128i multiplier, multiplier_odd, factor, factor_odd;
} qe_scale;

/* The zero point of an output, eight times, and what it is clamped to, as bytes. */
typedef struct {
    __m128i zero_point, low, high;
} qe_range;

static inline qe_v8 qe_v8_repeat(int32_t x)
{
    return _mm_set1_epi16((int16_t)x);
}

static inline qe_v4 qe_v4_load(const int32_t *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}

static inline void qe_v4_store(int32_t *to, qe_v4 x)
{
    _mm_storeu_si128((__m128i *)(void *)to, x);
}

static inline qe_v8 qe_v8_load_s8(const int8_t *from)
{
    return _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)from));
}

static inline qe_v8 qe_v8_add(qe_v8 a, qe_v8 b)
{
    return _mm_add_epi16(a, b);
}

static inline qe_v8 qe_v8_max(qe_v8 a, qe_v8 b)
{
    return _mm_max_epi16(a, b);
}

static inline qe_v4 qe_v4_add(qe_v4 a, qe_v4 b)
{
    return _mm_add_epi32(a, b);
}

static inline qe_v4 qe_v4_zero(void)
{
    return _mm_setzero_si128();
}

/* Add the eight products of x and y, whatever is added to which sum; both are of 9 bits. */
static inline qe_v4 qe_v4_add_dot(qe_v4 sums, qe_v8 x, qe_v8 y)
{
    return _mm_add_epi32(sums, _mm_madd_epi16(x, y));
}

/* Write the eight products of x and y, both of 9 bits. */
static inline void qe_v8_multiply(qe_v4 *low, qe_v4 *high, qe_v8 x, qe_v8 y)
{
    const __m128i lower = _mm_mullo_epi16(x, y), upper = _mm_mulhi_epi16(x, y);
    *low = _mm_unpacklo_epi16(lower, upper);
    *high = _mm_unpackhi_epi16(lower, upper);
}

/* Return the sum of each vector's four values. */
static inline qe_v4 qe_v4_totals(const qe_v4 sums[4])
{
    return _mm_hadd_epi32(_mm_hadd_epi32(sums[0], sums[1]), _mm_hadd_epi32(sums[2], sums[3]));
}

/* Add y0 times x0 and y1 times x1, all of 9 bits, to low and high. */
static inline void qe_v8_add_multiples(qe_v4 *low, qe_v4 *high, qe_v8 y0, int32_t x0, qe_v8 y1, int32_t x1)
{
    const __m128i x = _mm_set1_epi32((int32_t)(((uint32_t)x0 & 0xffffu) | (uint32_t)x1 << 16));
    *low = _mm_add_epi32(*low, _mm_madd_epi16(_mm_unpacklo_epi16(y0, y1), x));
    *high = _mm_add_epi32(*high, _mm_madd_epi16(_mm_unpackhi_epi16(y0, y1), x));
}

/* Return the lower four values times 2^shift, and the upper four. */
static inline qe_v4 qe_v8_lower(qe_v8 x, int32_t shift)
{
    return _mm_sll_epi32(_mm_cvtepi16_epi32(x), _mm_cvtsi32_si128(shift));
}

static inline qe_v4 qe_v8_upper(qe_v8 x, int32_t shift)
{
    return _mm_sll_epi32(_mm_srai_epi32(_mm_unpackhi_epi16(x, x), 16), _mm_cvtsi32_si128(shift));
}

/* Add the eight products of x and weights to low and high. |x| <= 255 and |weight| <= 128: a product has 16 bits. */
static inline void qe_v8_add_products(qe_v4 *low, qe_v4 *high, qe_v8 x, qe_v8 weights)
{
    const __m128i products = _mm_mullo_epi16(x, weights);
    *low = _mm_add_epi32(*low, _mm_cvtepi16_epi32(products));
    *high = _mm_add_epi32(*high, _mm_srai_epi32(_mm_unpackhi_epi16(products, products), 16));
}

/* The same with two vectors of inputs and weights. */
static inline void qe_v8_add_products_2(qe_v4 *low, qe_v4 *high, qe_v8 x0, qe_v8 weights0, qe_v8 x1, qe_v8 weights1)
{
    const __m128i a = _mm_mullo_epi16(x0, weights0), b = _mm_mullo_epi16(x1, weights1), one = _mm_set1_epi16(1);
    *low = _mm_add_epi32(*low, _mm_madd_epi16(_mm_unpacklo_epi16(a, b), one));
    *high = _mm_add_epi32(*high, _mm_madd_epi16(_mm_unpackhi_epi16(a, b), one));
}

/* Add the products of the inputs 2 * PAIR and 2 * PAIR + 1 of X with four weights each, those of the first ahead. */
#define QE_V4_ADD_TWO(SUMS, X, WEIGHTS, PAIR) \
    SUMS = _mm_add_epi32(SUMS, _mm_madd_epi16(_mm_shuffle_epi32(X, 0x55 * (PAIR)), \
                                              _mm_unpacklo_epi16(WEIGHTS, _mm_unpackhi_epi64(WEIGHTS, WEIGHTS))))

/* Inputs of a convolution and the weights of four outputs, by pairs: qe_conv_2d_pairs_s8.h. A product of two pairs is at
 * most 2^15. */
typedef int16_t qe_value;
typedef __m128i qe_inputs; /* four pairs */
typedef __m128i qe_weights; /* a pair for each of four outputs */

static inline qe_inputs qe_inputs_load(const qe_value *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}

static inline qe_weights qe_weights_load(const int8_t *from)
{
    return qe_v8_load_s8(from);
}

static inline qe_weights qe_weights_zero(void)
{
    return _mm_setzero_si128();
}

/* Add the products of the inputs' pairs PAIR and PAIR + 1 with W0 and W1. */
#define QE_ADD_PAIRS(SUMS, X, W0, W1, PAIR) \
    SUMS = _mm_add_epi32(_mm_add_epi32(SUMS, _mm_madd_epi16(_mm_shuffle_epi32(X, 0x55 * (PAIR)), W0)), \
                         _mm_madd_epi16(_mm_shuffle_epi32(X, 0x55 * (PAIR) + 0x55), W1))

static inline qe_value *qe_values_fill(qe_value *to, int32_t x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        to[i] = (qe_value)x;
    }
    return to + n;
}

static inline qe_value *qe_values_copy(qe_value *to, const int8_t *from, int32_t n)
{
    int32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        _mm_storeu_si128((__m128i *)(void *)(to + i), qe_v8_load_s8(from + i));
    }
    for (; i < n; ++i) {
        to[i] = from[i];
    }
    return to + n;
}

/* shift: negative or 0, which is to the right. The factor is made as a float: 2^31 does not fit, and becomes the
 * integer that stands for what does not fit, which is 2^31. */
static inline qe_scale qe_scale_load(const int32_t *multiplier, const int8_t *shift)
{
    qe_scale s;
    int32_t shifts;
    memcpy(&shifts, shift, sizeof shifts);
    s.multiplier = qe_v4_load(multiplier);
    s.multiplier_odd = _mm_srli_epi64(s.multiplier, 32);
    s.factor = _mm_add_epi32(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(shifts)), _mm_set1_epi32(127 + 31));
    s.factor = _mm_cvttps_epi32(_mm_castsi128_ps(_mm_slli_epi32(s.factor, 23)));
    s.factor_odd = _mm_srli_epi64(s.factor, 32);
    return s;
}

/* Return products / 2^31, rounded to nearest with ties upwards, of the even and the odd lanes. */
static inline qe_v4 qe_v4_upper(__m128i even, __m128i odd)
{
    const __m128i half = _mm_set1_epi64x((int64_t)1 << 30);
    even = _mm_srli_epi64(_mm_add_epi64(even, half), 31);
    odd = _mm_slli_epi64(_mm_add_epi64(odd, half), 1);
    return _mm_blend_epi16(even, odd, 0xcc);
}

/* qe_requantize; the second rounding is that of the absolute value, so that ties go away from zero. */
static inline qe_v4 qe_v4_requantize(qe_v4 x, const qe_scale *s)
{
    const __m128i y =
        qe_v4_upper(_mm_mul_epi32(x, s->multiplier), _mm_mul_epi32(_mm_srli_epi64(x, 32), s->multiplier_odd));
    const __m128i size = _mm_abs_epi32(y);
    const __m128i z =
        qe_v4_upper(_mm_mul_epu32(size, s->factor), _mm_mul_epu32(_mm_srli_epi64(size, 32), s->factor_odd));
    return _mm_sign_epi32(z, y);
}

static inline qe_range qe_range_of(int32_t zero_point, int32_t low, int32_t high)
{
    qe_range r;
    r.zero_point = qe_v8_repeat(zero_point);
    r.low = _mm_set1_epi8((int8_t)low);
    r.high = _mm_set1_epi8((int8_t)high);
    return r;
}

/* Write a and b, without their zero point, as four outputs each. */
static inline void qe_outputs_store(int8_t *to_a, int8_t *to_b, qe_v4 a, qe_v4 b, const qe_range *r)
{
    __m128i x = _mm_adds_epi16(_mm_packs_epi32(a, b), r->zero_point);
    x = _mm_packs_epi16(x, x);
    x = _mm_min_epi8(_mm_max_epi8(x, r->low), r->high);
    const int32_t four_a = _mm_cvtsi128_si32(x), four_b = _mm_extract_epi32(x, 1);
    memcpy(to_a, &four_a, 4);
    memcpy(to_b, &four_b, 4);
}

#elif defined(__ARM_NEON)

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

#else
#define QE_VECTORS 0
#endif

#if QE_VECTORS

/* Add the products of whole eights of n values, each plus its offset, to sums; return the sum of the others. */
static inline int32_t qe_dot_eights(qe_v4 *sums, const int8_t *x, const int8_t *y, int32_t n, int32_t x_offset,
                                    int32_t y_offset)
{
    const qe_v8 x_offsets = qe_v8_repeat(x_offset), y_offsets = qe_v8_repeat(y_offset);
    int32_t i = 0, rest = 0;
    for (; i + 8 <= n; i += 8) {
        *sums = qe_v4_add_dot(*sums, qe_v8_add(qe_v8_load_s8(x + i), x_offsets),
                              qe_v8_add(qe_v8_load_s8(y + i), y_offsets));
    }
    for (; i < n; ++i) {
        rest += (x[i] + x_offset) * (y[i] + y_offset);
    }
    return rest;
}

/* The same with four arrays y, step bytes apart: the sums of the others are added to rests. */
static inline void qe_dot_eights_4(qe_v4 sums[4], int32_t rests[4], const int8_t *x, const int8_t *y, int32_t step,
                                   int32_t n, int32_t x_offset, int32_t y_offset)
{
    const qe_v8 x_offsets = qe_v8_repeat(x_offset), y_offsets = qe_v8_repeat(y_offset);
    int32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const qe_v8 eight = qe_v8_add(qe_v8_load_s8(x + i), x_offsets);
        for (int32_t k = 0; k < 4; ++k) {
            sums[k] = qe_v4_add_dot(sums[k], eight, qe_v8_add(qe_v8_load_s8(y + i + k * step), y_offsets));
        }
    }
    for (; i < n; ++i) {
        for (int32_t k = 0; k < 4; ++k) {
            rests[k] += (x[i] + x_offset) * (y[i + k * step] + y_offset);
        }
    }
}

static inline int32_t qe_v4_total(qe_v4 x)
{
    int32_t values[4];
    qe_v4_store(values, x);
    return values[0] + values[1] + values[2] + values[3];
}

/* Return what four sums of one scale need. */
static inline qe_scale qe_scale_of(int32_t multiplier, int32_t shift)
{
    const int32_t multipliers[4] = {multiplier, multiplier, multiplier, multiplier};
    const int8_t shifts[4] = {(int8_t)shift, (int8_t)shift, (int8_t)shift, (int8_t)shift};
    return qe_scale_load(multipliers, shifts);
}

#endif

#endif
