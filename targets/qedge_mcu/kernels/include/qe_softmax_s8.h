#ifndef QE_SOFTMAX_S8_H
#define QE_SOFTMAX_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    uint32_t rows;
    uint32_t depth;
    int32_t multiplier; /* of a difference to the row's maximum, to 5 integer bits */
    int32_t diff_min;   /* smaller differences count as nothing */
    uint8_t left_shift;
} qe_softmax_params;

/* input and output [rows][depth]; the output's scale is 1/256, its zero point -128; it may lie on the input. */
void qe_softmax_s8(const qe_softmax_params *p, const int8_t *input, int8_t *output);

/* The same with an int16 output of scale 1/65536 and zero point -32768. */
void qe_softmax_s8_s16(const qe_softmax_params *p, const int8_t *input, int16_t *output);

QE_EXTERN_C_END

#endif
