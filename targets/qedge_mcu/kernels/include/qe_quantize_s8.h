#ifndef QE_QUANTIZE_S8_H
#define QE_QUANTIZE_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    float scale;
    int32_t count; /* values */
    int16_t zero_point;
} qe_quantize_params;

/* output[i] = round(input[i] / scale) + zero_point, halves away from zero, saturated; NaN gives the zero point. */
void qe_quantize_s8(const qe_quantize_params *p, const float *input, int8_t *output);
#ifdef QE_QUANTIZE_S16
void qe_quantize_s16(const qe_quantize_params *p, const float *input, int16_t *output);
#endif

QE_EXTERN_C_END

#endif
