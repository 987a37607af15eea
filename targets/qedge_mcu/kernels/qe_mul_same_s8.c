/* MUL int8 of two tensors of the same shape. */
#include "qe_mul_same_s8.h"

#include "qe_high.h"

void qe_mul_same_s8(int32_t multiplier, uint32_t codes, uint32_t count, const int8_t *a, const int8_t *b,
                    int8_t *output)
{
    const int32_t offset_a = -2 * QE_BYTE(codes, 0), offset_b = -QE_BYTE(codes, 1), shift = QE_BYTE(codes, 2);
    /* Half of what is shifted out, and the zero point; a product that vanishes rounds to zero with either sign. */
    const int32_t start = ((int32_t)1 << (shift - 1)) + QE_BYTE(codes, 3) * ((int32_t)1 << shift);
    for (const int8_t *end = a + count; a != end;) {
        const int32_t twice = (2 * *a++ + offset_a) * (*b++ + offset_b);
        const int32_t y = qe_high_add_rounded(twice, multiplier, start + (twice >> 31)) >> shift;
        *output++ = qe_saturate_s8(y);
    }
}
