/* QUANTIZE from float32. */
#include "qe_quantize_s8.h"

void qe_quantize_s8(const qe_quantize_params *p, const float *input, int8_t *output)
{
    for (int32_t i = 0; i < p->count; ++i) {
        const float ratio = input[i] / p->scale;
        int32_t rounded = 0;
        if (ratio >= 1024.0f) {
            rounded = 1024;
        } else if (ratio <= -1024.0f) {
            rounded = -1024;
        } else if (ratio == ratio) {
            /* the remainder of the truncation is exact, so halves are seen as halves */
            const int32_t whole = (int32_t)ratio;
            const float rest = ratio - (float)whole;
            rounded = whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0);
        }
        output[i] = qe_clamp_s8(rounded + p->zero_point, -128, 127);
    }
}
