#ifndef QE_ADD_S8_H
#define QE_ADD_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

/* "large" is the input with the larger scale, which is brought to the common scale by a shift alone. */
typedef struct {
    uint32_t count;
    int32_t small_factor;     /* 2^21, or 2^22 when both scales are equal: before the high multiply */
    int32_t small_multiplier;
    int32_t output_multiplier;
    int16_t large_offset, small_offset; /* minus the inputs' zero points */
    uint8_t small_shift, output_shift;  /* to the right, at least 1 */
    int8_t output_zero_point;
    int8_t low, high; /* clamp of the output */
} qe_add_params;

/* large, small and output have count elements; the output may lie on either input. */
void qe_add_s8(const qe_add_params *p, const int8_t *large, const int8_t *small, int8_t *output);

QE_EXTERN_C_END

#endif
