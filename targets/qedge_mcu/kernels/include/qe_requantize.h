#ifndef QE_REQUANTIZE_H
#define QE_REQUANTIZE_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    int32_t count;                 /* values */
    int32_t multiplier, negative_multiplier;
    int32_t input_zero_point, output_zero_point;
    int32_t low, high;             /* clamp of the output */
    int8_t shift, negative_shift;  /* negative_...: of values below the zero point */
    uint8_t minus;                 /* 1: their sign changes */
    uint8_t in_bytes, out_bytes;   /* 1, 2 or 4: signed integers */
} qe_requantize_params;

/* output[i] = clamp(requantised input[i] - input_zero_point, plus output_zero_point); the two may be the same memory
 * where the output's type is no wider. QUANTIZE, RELU, RELU6, LEAKY_RELU, ABS of other types than int8 to int8. */
void qe_requantize_all(const qe_requantize_params *p, const void *input, void *output);

QE_EXTERN_C_END

#endif
