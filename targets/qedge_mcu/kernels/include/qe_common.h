/* Types, status codes and fixed-point arithmetic that every qedge kernel shares.
 *
 * All sizes are in elements of the type named, tensors are NHWC. Requantisation uses double rounding, as
 * TensorFlow Lite for Microcontrollers does: a saturating rounding doubling high multiply, then a rounding
 * right shift with ties away from zero.
 */
#ifndef QE_COMMON_H
#define QE_COMMON_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "qe_config.h"

#ifdef __cplusplus
#define QE_EXTERN_C_BEGIN extern "C" {
#define QE_EXTERN_C_END }
#define QE_STATIC_ASSERT(condition, message) static_assert(condition, message)
#define QE_RESTRICT __restrict
#else
#define QE_EXTERN_C_BEGIN
#define QE_EXTERN_C_END
#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define QE_STATIC_ASSERT(condition, message) _Static_assert(condition, message)
#else /* C99 */
#define QE_STATIC_ASSERT(condition, message) extern char qe_holds[(condition) ? 1 : -1]
#endif
#define QE_RESTRICT restrict
#endif

/* What a channel needs to turn an int32 sum into an output value: multiplier in [2^30, 2^31) or 0,
 * shift in [-31, 30], positive to the left. Packed in two arrays of the kernel's parameters. */

/* Return a * b / 2^31, rounded to nearest with ties upwards; a != -2^31 or b != -2^31.
 * Equal to SaturatingRoundingDoublingHighMul: its nudge of 1 - 2^30 with truncation for negative products
 * is the same as a nudge of 2^30 with an arithmetic shift. */
static inline int32_t qe_high_mul(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * (int64_t)b + ((int64_t)1 << 30)) >> 31);
}

/* Return x / 2^shift, rounded to nearest with ties away from zero; shift in [0, 31]. */
static inline int32_t qe_rounding_shift(int32_t x, int32_t shift)
{
    const int32_t mask = (int32_t)(((uint32_t)1 << shift) - 1u);
    const int32_t remainder = x & mask;
    const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> shift) + (remainder > threshold ? 1 : 0);
}

/* Return x * multiplier * 2^(shift - 31) with double rounding. */
static inline int32_t qe_requantize(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    return qe_rounding_shift(qe_high_mul((int32_t)((uint32_t)x << left), multiplier), right);
}

/* Four parameters of one byte each as an argument, and one of them again. */
#define QE_BYTES(a, b, c, d) \
    ((uint32_t)(uint8_t)(a) | (uint32_t)(uint8_t)(b) << 8 | (uint32_t)(uint8_t)(c) << 16 | (uint32_t)(uint8_t)(d) << 24)
#define QE_BYTE(bytes, index) ((int32_t)(int8_t)(uint8_t)((bytes) >> (8 * (index))))

static inline int32_t qe_clamp(int32_t x, int32_t low, int32_t high)
{
    return x < low ? low : (x > high ? high : x);
}

static inline int8_t qe_clamp_s8(int32_t x, int32_t low, int32_t high)
{
    return (int8_t)qe_clamp(x, low, high);
}

#endif
