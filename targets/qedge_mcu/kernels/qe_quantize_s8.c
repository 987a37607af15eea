/* QUANTIZE from float32. */
#include "qe_quantize_s8.h"

/* Return x rounded, halves away from zero, saturated at the limit on both sides; 0 for NaN. */
static int32_t rounded(float x, int32_t limit)
{
    if (x >= (float)limit) {
        return limit;
    }
    if (x <= (float)-limit) {
        return -limit;
    }
    if (x != x) {
        return 0;
    }
    /* the remainder of the truncation is exact, so halves are seen as halves */
    const int32_t whole = (int32_t)x;
    const float rest = x - (float)whole;
    return whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0);
}

void qe_quantize_s8(const qe_quantize_params *p, const float *input, int8_t *output)
{
    for (int32_t i = 0; i < p->count; ++i) {
        output[i] = qe_clamp_s8(rounded(input[i] / p->scale, 1024) + p->zero_point, -128, 127);
    }
}

#ifdef QE_QUANTIZE_S16
void qe_quantize_s16(const qe_quantize_params *p, const float *input, int16_t *output)
{
    for (int32_t i = 0; i < p->count; ++i) {
        const int32_t y = rounded(input[i] / p->scale, 1 << 18) + p->zero_point;
        output[i] = (int16_t)qe_clamp(y, INT16_MIN, INT16_MAX);
    }
}
#endif
