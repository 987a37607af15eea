/* What the kernels for the DSP extension share: instructions, requantisation and their portable twins. */
#ifndef QE_DSP_H
#define QE_DSP_H

#include "qe_common.h"

#if defined(__ARM_FEATURE_DSP) && !defined(QE_NO_ASM)
#define QE_DSP_ASM 1
#include <arm_acle.h>
#define QE_NAKED __attribute__((naked, noinline))
#define QE_DSP_APART __attribute__((noinline))
#else
#define QE_DSP_ASM 0
#if defined(__GNUC__)
#define QE_DSP_APART __attribute__((noinline))
#else
#define QE_DSP_APART
#endif
#endif

/* Ahead of a loop that runs few times: what compilers would unroll takes more code than it saves time. */
#if defined(__clang__)
#define QE_ROLLED _Pragma("clang loop unroll(disable) vectorize(disable)")
#elif defined(__GNUC__)
#define QE_ROLLED _Pragma("GCC unroll 1")
#else
#define QE_ROLLED
#endif

/* In a loop that no compiler must take for a memset, whose call costs more than a few rounds. */
#if QE_DSP_ASM
#define QE_KEEP_LOOP(pointer) __asm__("" : "+r"(pointer))
#else
#define QE_KEEP_LOOP(pointer) ((void)(pointer))
#endif

/* Requantisation of the DSP kernels. A channel has two words: its bias and shift, bias << 8 | (n - 1) with
 * n >= 1 the shift to the right, and its multiplier. For a doubled sum s (bias included) the output is
 *   ((s * multiplier + 2^31) / 2^32 + offset - (s < 0)) >> n,   offset = (2 * zero_point + 1) << (n - 1),
 * saturated to 8 bits. That is double rounding: the high multiply is SaturatingRoundingDoublingHighMul of s / 2,
 * and adding half less one for negative values before the shift rounds ties away from zero; taking the sign of
 * s instead of the product's changes nothing, since a product that vanishes rounds to zero either way.
 * Where the output is clamped at its zero point (RELU), negative sums end there anyway and the sign is not
 * needed. */

/* Text of the assembler: acc <- requantised; T is free, OFF is kept. */
#define QE_ASM_REQUANTIZE_SIGNED(ACC, MUL, OFF, SHIFT, T) \
    "add " T ", " OFF ", " ACC ", asr #31\n" \
    "smmlar " ACC ", " ACC ", " MUL ", " T "\n" \
    "asr.w " ACC ", " ACC ", " SHIFT "\n" \
    "ssat " ACC ", #8, " ACC ", asr #1\n"

#define QE_ASM_REQUANTIZE_PLAIN(ACC, MUL, OFF, SHIFT, T) \
    "smmlar " ACC ", " ACC ", " MUL ", " OFF "\n" \
    "asr.w " ACC ", " ACC ", " SHIFT "\n" \
    "ssat " ACC ", #8, " ACC ", asr #1\n"

/* The same in C; shift is n - 1. */
static inline int8_t qe_dsp_requantize(int32_t doubled, int32_t multiplier, int32_t shift, int32_t offset)
{
    const int32_t shifted = offset * (int32_t)((uint32_t)1 << shift) - (doubled < 0 ? 1 : 0);
#if QE_DSP_ASM
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(doubled), "r"(multiplier), "r"(shifted));
    result >>= shift;
    __asm__("ssat %0, #8, %1, asr #1" : "=r"(result) : "r"(result));
    return (int8_t)result;
#else
    const int32_t high = (int32_t)(((int64_t)doubled * multiplier + ((int64_t)1 << 31)) >> 32);
    return qe_clamp_s8((high + shifted) >> shift >> 1, -128, 127);
#endif
}

/* The same for a sum without bias and a channel's two words. */
static inline int8_t qe_dsp_output(uint32_t sum, const uint32_t words[2], int32_t offset)
{
    const int32_t doubled = (int32_t)(2u * sum) + ((int32_t)words[0] >> 7);
    return qe_dsp_requantize(doubled, (int32_t)words[1], (int32_t)(words[0] & 0xffu), offset);
}

/* Four bytes from any address as a word. */
static inline uint32_t qe_load4(const int8_t *from)
{
    uint32_t word;
#if QE_DSP_ASM
    __builtin_memcpy(&word, from, sizeof word); /* one LDR, also where memcpy is never built in */
#else
    memcpy(&word, from, sizeof word);
#endif
    return word;
}

static inline void qe_store4(int8_t *to, uint32_t word)
{
#if QE_DSP_ASM
    __builtin_memcpy(to, &word, sizeof word);
#else
    memcpy(to, &word, sizeof word);
#endif
}

/* Bytes 0 and 2 of a word, sign-extended, as two 16-bit lanes. */
static inline uint32_t qe_lanes02(uint32_t word)
{
#if QE_DSP_ASM
    return (uint32_t)__sxtb16((int8x4_t)word);
#else
    return (uint32_t)(uint16_t)(int8_t)(uint8_t)word | (uint32_t)(uint16_t)(int8_t)(uint8_t)(word >> 16) << 16;
#endif
}

/* Bytes 1 and 3 likewise. */
static inline uint32_t qe_lanes13(uint32_t word)
{
    return qe_lanes02(word >> 8 | word << 24);
}

static inline int32_t qe_low16(uint32_t lanes)
{
    return (int16_t)(uint16_t)lanes;
}

static inline int32_t qe_high16(uint32_t lanes)
{
    return (int16_t)(uint16_t)(lanes >> 16);
}

/* Lanes 02 or 13 of a word plus the lanes of another, lane by lane. */
static inline uint32_t qe_add_lanes02(uint32_t lanes, uint32_t word)
{
#if QE_DSP_ASM
    return (uint32_t)__sxtab16((int16x2_t)lanes, (int8x4_t)word);
#else
    const uint32_t other = qe_lanes02(word);
    return ((lanes + other) & 0xffffu) | ((lanes & 0xffff0000u) + (other & 0xffff0000u));
#endif
}

static inline uint32_t qe_add_lanes13(uint32_t lanes, uint32_t word)
{
    return qe_add_lanes02(lanes, word >> 8 | word << 24);
}

/* sum + the product of the low, or the high, lanes. */
static inline int32_t qe_mac_low(uint32_t a, uint32_t b, int32_t sum)
{
#if QE_DSP_ASM
    return __smlabb((int32_t)a, (int32_t)b, sum);
#else
    return sum + qe_low16(a) * qe_low16(b);
#endif
}

static inline int32_t qe_mac_high(uint32_t a, uint32_t b, int32_t sum)
{
#if QE_DSP_ASM
    return __smlatt((int32_t)a, (int32_t)b, sum);
#else
    return sum + qe_high16(a) * qe_high16(b);
#endif
}

/* sum + the products of both lanes, modulo 2^32. */
static inline uint32_t qe_dual_mac(uint32_t a, uint32_t b, uint32_t sum)
{
    return sum + (uint32_t)(qe_low16(a) * qe_low16(b)) + (uint32_t)(qe_high16(a) * qe_high16(b));
}

#endif
