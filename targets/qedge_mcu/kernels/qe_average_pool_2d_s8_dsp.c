/* AVERAGE_POOL_2D int8 for the DSP extension: four channels at a time, their sums in the halves of words. */
#include "qe_average_pool_2d_s8_dsp.h"

static QE_DSP_APART int8_t mean(const qe_pool_2d_params *p, int32_t sum, int32_t count)
{
    return qe_clamp_s8((sum + (sum > 0 ? count / 2 : -(count / 2))) / count, p->low, p->high);
}

void qe_average_pool_2d_s8_dsp(const qe_pool_2d_params *p, const int8_t *input, int8_t *output)
{
    const int32_t channels = p->channels;
    for (int32_t pixel = 0; pixel < p->out_height * p->out_width; ++pixel) {
        const int32_t y = pixel / p->out_width * p->stride_height - p->pad_top;
        const int32_t x = pixel % p->out_width * p->stride_width - p->pad_left;
        const int32_t y_begin = y > 0 ? y : 0, x_begin = x > 0 ? x : 0;
        const int32_t y_end = y + p->filter_height < p->in_height ? y + p->filter_height : p->in_height;
        const int32_t x_end = x + p->filter_width < p->in_width ? x + p->filter_width : p->in_width;
        const int32_t columns = x_end - x_begin, count = (y_end - y_begin) * columns;
        const int8_t *first = input + (y_begin * p->in_width + x_begin) * channels;
        for (int32_t c = 0; c < channels; c += 4) {
            const int8_t *at = first + c;
            uint32_t even = 0, odd = 0;
            for (int32_t rows = y_end - y_begin; rows > 0; --rows) {
                QE_ROLLED
                for (int32_t left = columns; left > 0; --left) {
                    const uint32_t word = qe_load4(at);
                    even = qe_add_lanes02(even, word);
                    odd = qe_add_lanes13(odd, word);
                    at += channels;
                }
                at += (p->in_width - columns) * channels;
            }
            output[0] = mean(p, qe_low16(even), count);
            output[1] = mean(p, qe_low16(odd), count);
            output[2] = mean(p, qe_high16(even), count);
            output[3] = mean(p, qe_high16(odd), count);
            output += 4;
        }
    }
}
