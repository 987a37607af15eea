/* What qe_vectors.h has, by SSE4.1. */
#ifndef QE_VECTORS_SSE_H
#define QE_VECTORS_SSE_H

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

#endif

#endif
