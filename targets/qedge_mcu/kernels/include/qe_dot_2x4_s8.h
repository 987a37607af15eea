/* Inner products of two pixels by four outputs, for cores without instructions for signal processing. */
#ifndef QE_DOT_2X4_S8_H
#define QE_DOT_2X4_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

/* A column: an input of pixel 0 and one of pixel 1. Where a multiplication and an addition are one instruction
 * (Thumb-2), they are the halves of a word. Elsewhere the word is their sum, the second 65,536 times: one
 * multiplication makes both products, and those of two inputs can be added before the halves are told apart. */
static inline uint32_t qe_column(int32_t x0, int32_t x1)
{
#if defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB >= 2 && !defined(QE_NO_ASM)
    return ((uint32_t)x0 & 0xffffu) | (uint32_t)x1 << 16;
#else
    return (uint32_t)x0 + ((uint32_t)x1 << 16);
#endif
}

/* Write to sums the products of pixel 0 with four outputs, then those of pixel 1. columns and weights: pairs of
 * inputs, as in qe_conv_2d_pairs_s8.h; pairs is at least 1. */
void qe_dot_2x4_s8(const uint32_t *columns, const int8_t *weights, uint32_t pairs, int32_t sums[8]);

QE_EXTERN_C_END

#endif
