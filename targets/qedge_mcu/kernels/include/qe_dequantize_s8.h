#ifndef QE_DEQUANTIZE_S8_H
#define QE_DEQUANTIZE_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

typedef struct {
    float scale;
    int32_t count; /* values */
    int16_t zero_point;
} qe_dequantize_params;

/* output[i] = (input[i] - zero_point) * scale. */
void qe_dequantize_s8(const qe_dequantize_params *p, const int8_t *input, float *output);
#ifdef QE_DEQUANTIZE_U8
void qe_dequantize_u8(const qe_dequantize_params *p, const uint8_t *input, float *output);
#endif
#ifdef QE_DEQUANTIZE_S16
void qe_dequantize_s16(const qe_dequantize_params *p, const int16_t *input, float *output);
#endif

QE_EXTERN_C_END

#endif
