#ifndef QE_ADD_S8_H
#define QE_ADD_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    uint32_t count;
    int32_t multiplier1, multiplier2, output_multiplier;
    int16_t offset1, offset2; /* minus the inputs' zero points */
    int8_t shift1, shift2, output_shift;
    int8_t output_zero_point;
    int8_t low, high; /* clamp of the output */
} qe_add_params;

/* input1, input2 and output have count elements; the output may lie on either input. */
void qe_add_s8(const qe_add_params *p, const int8_t *input1, const int8_t *input2, int8_t *output);

QE_EXTERN_C_END

#endif
