/* What the kernels for the DSP extension share: instructions, requantisation and their portable twins. */
#ifndef QE_DSP_H
#define QE_DSP_H

#include "qe_common.h"

#if defined(__ARM_FEATURE_DSP) && !defined(QE_NO_ASM)
#define QE_DSP_ASM 1
#include <arm_acle.h>
#define QE_NAKED __attribute__((naked, noinline))
#else
#define QE_DSP_ASM 0
#endif

/* Requantisation of the DSP kernels. A channel has two words: its bias and shift, bias << 8 | (n - 1) with
 * n >= 1 the shift to the right, and its multiplier. For a doubled sum s (bias included) the output is
 *   ((s * multiplier + 2^31) / 2^32 + offset - (s < 0)) >> n,   offset = (2 * zero_point + 1) << (n - 1),
 * saturated to 8 bits. That is double rounding: the high multiply is SaturatingRoundingDoublingHighMul of s / 2,
 * and adding half less one for negative values before the shift rounds ties away from zero; taking the sign of
 * s instead of the product's changes nothing, since a product that vanishes rounds to zero either way.
 * Where the output is clamped at its zero point (RELU), negative sums end there anyway and the sign is not
 * needed: QE_DSP_SIGNED says that some operator needs it. */
typedef struct {
    int32_t bias_shift;
    int32_t multiplier;
} qe_dsp_channel;

/* Text of the assembler: acc <- requantised; T is free, OFF is kept. */
#ifdef QE_DSP_SIGNED
#define QE_ASM_REQUANTIZE(ACC, MUL, OFF, SHIFT, T) \
    "add " T ", " OFF ", " ACC ", asr #31\n" \
    "smmlar " ACC ", " ACC ", " MUL ", " T "\n" \
    "asr.w " ACC ", " ACC ", " SHIFT "\n" \
    "ssat " ACC ", #8, " ACC ", asr #1\n"
#else
#define QE_ASM_REQUANTIZE(ACC, MUL, OFF, SHIFT, T) \
    "smmlar " ACC ", " ACC ", " MUL ", " OFF "\n" \
    "asr.w " ACC ", " ACC ", " SHIFT "\n" \
    "ssat " ACC ", #8, " ACC ", asr #1\n"
#endif

/* The same in C, for a sum that is not doubled and lacks the bias. */
static inline int8_t qe_dsp_requantize(int32_t sum, qe_dsp_channel channel, int32_t offset)
{
    const int32_t shift = (int32_t)((uint32_t)channel.bias_shift & 0xffu);
    const int32_t doubled = 2 * (sum + (channel.bias_shift >> 8));
    const int32_t high = (int32_t)(((int64_t)doubled * channel.multiplier + ((int64_t)1 << 31)) >> 32);
    const int32_t rounded = high + offset * (int32_t)((uint32_t)1 << shift) - (doubled < 0 ? 1 : 0);
    return qe_clamp_s8(rounded >> (shift + 1), -128, 127);
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

/* sum + a.low * b.low + a.high * b.high, modulo 2^32. */
static inline uint32_t qe_dual_mac(uint32_t a, uint32_t b, uint32_t sum)
{
    return sum + (uint32_t)(qe_low16(a) * qe_low16(b)) + (uint32_t)(qe_high16(a) * qe_high16(b));
}

#endif
