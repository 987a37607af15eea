/* The upper word of a product and a sum, and saturation: one instruction of the DSP extension. */
#ifndef QE_HIGH_H
#define QE_HIGH_H

#include "qe_common.h"

#if defined(__ARM_FEATURE_DSP) && __ARM_ARCH >= 6 && !defined(QE_NO_ASM)
#define QE_HIGH_ASM(instruction, result, a, b, c) \
    __asm__(instruction " %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(c))
#define QE_SATURATE_ASM(instruction, result, x) __asm__(instruction : "=r"(result) : "r"(x))
#endif

/* c + a * b / 2^32, rounded down. */
static inline int32_t qe_high_add(int32_t a, int32_t b, int32_t c)
{
#ifdef QE_HIGH_ASM
    int32_t result;
    QE_HIGH_ASM("smmla", result, a, b, c);
    return result;
#else
    return c + (int32_t)(((int64_t)a * b) >> 32);
#endif
}

/* c + a * b / 2^32, the quotient rounded to nearest with ties upwards. */
static inline int32_t qe_high_add_rounded(int32_t a, int32_t b, int32_t c)
{
#ifdef QE_HIGH_ASM
    int32_t result;
    QE_HIGH_ASM("smmlar", result, a, b, c);
    return result;
#else
    return c + (int32_t)(((int64_t)a * b + ((int64_t)1 << 31)) >> 32);
#endif
}

/* x as far as 8 bits hold it. */
static inline int8_t qe_saturate_s8(int32_t x)
{
#ifdef QE_HIGH_ASM
    int32_t result;
    QE_SATURATE_ASM("ssat %0, #8, %1", result, x);
    return (int8_t)result;
#else
    return qe_clamp_s8(x, INT8_MIN, INT8_MAX);
#endif
}

/* x / 2, rounded down, as far as 8 bits hold it. */
static inline int8_t qe_saturate_half_s8(int32_t x)
{
#ifdef QE_HIGH_ASM
    int32_t result;
    QE_SATURATE_ASM("ssat %0, #8, %1, asr #1", result, x);
    return (int8_t)result;
#else
    return qe_clamp_s8(x >> 1, INT8_MIN, INT8_MAX);
#endif
}

/* x as far as 27 bits without a sign hold it. */
static inline uint32_t qe_saturate_u27(int32_t x)
{
#ifdef QE_HIGH_ASM
    uint32_t result;
    QE_SATURATE_ASM("usat %0, #27, %1", result, x);
    return result;
#else
    return (uint32_t)qe_clamp(x, 0, ((int32_t)1 << 27) - 1);
#endif
}

#endif
