/* DEPTHWISE_CONV_2D with int16 activations, portable: any filter, stride, dilation, padding and multiplier. */
#include "qe_conv_2d_s16.h"

static int64_t window(const qe_conv_2d_s16_params *p, const int16_t *input, const int8_t *weights, int32_t y,
                      int32_t x)
{
    int64_t sum = 0;
    for (int32_t fy = 0; fy < p->filter_height; ++fy) {
        const int32_t in_y = y + fy * p->dilation_height;
        for (int32_t fx = 0; fx < p->filter_width; ++fx) {
            const int32_t in_x = x + fx * p->dilation_width;
            if (in_y >= 0 && in_y < p->in_height && in_x >= 0 && in_x < p->in_width) {
                sum += (int32_t)input[(in_y * p->in_width + in_x) * p->in_channels] * *weights;
            }
            weights += p->out_channels;
        }
    }
    return sum;
}

void qe_depthwise_conv_2d_s16(const qe_conv_2d_s16_params *p, const int16_t *input, int16_t *output)
{
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        const int32_t y = oy * p->stride_height - p->pad_top;
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            const int32_t x = ox * p->stride_width - p->pad_left;
            for (int32_t o = 0; o < p->out_channels; ++o) {
                const int64_t sum = p->bias[o] + window(p, input + o / p->groups, p->weights + o, y, x);
                *output++ = qe_clamp_s16(qe_requantize_s64(sum, p->multiplier[o], p->shift[o]), p->low, p->high);
            }
        }
    }
}
