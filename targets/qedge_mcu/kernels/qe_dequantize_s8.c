/* DEQUANTIZE to float32. */
#include "qe_dequantize_s8.h"

void qe_dequantize_s8(const qe_dequantize_params *p, const int8_t *input, float *output)
{
    for (int32_t i = 0; i < p->count; ++i) {
        output[i] = (float)(input[i] - p->zero_point) * p->scale;
    }
}

#ifdef QE_DEQUANTIZE_U8
void qe_dequantize_u8(const qe_dequantize_params *p, const uint8_t *input, float *output)
{
    for (int32_t i = 0; i < p->count; ++i) {
        output[i] = (float)(input[i] - p->zero_point) * p->scale;
    }
}
#endif

#ifdef QE_DEQUANTIZE_S16
void qe_dequantize_s16(const qe_dequantize_params *p, const int16_t *input, float *output)
{
    for (int32_t i = 0; i < p->count; ++i) {
        output[i] = (float)(input[i] - p->zero_point) * p->scale;
    }
}
#endif
