/* DEPTHWISE_CONV_2D int8, portable: any filter, stride, dilation, padding and depth multiplier. */
#include "qe_depthwise_conv_2d_s8.h"

static int32_t window_sum(const qe_depthwise_conv_2d_params *p, const int8_t *input, const int8_t *weights,
                          int32_t y, int32_t x, int32_t out_channels)
{
    int32_t sum = 0;
    for (int32_t fy = 0; fy < p->filter_height; ++fy) {
        const int32_t in_y = y + fy * p->dilation_height;
        for (int32_t fx = 0; fx < p->filter_width; ++fx) {
            const int32_t in_x = x + fx * p->dilation_width;
            if (in_y >= 0 && in_y < p->in_height && in_x >= 0 && in_x < p->in_width) {
                sum += (input[(in_y * p->in_width + in_x) * p->in_channels] + p->input_offset) * *weights;
            }
            weights += out_channels;
        }
    }
    return sum;
}

void qe_depthwise_conv_2d_s8(const qe_depthwise_conv_2d_params *p, const int8_t *input, int8_t *output)
{
    const int32_t out_channels = p->in_channels * p->depth_multiplier;
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        const int32_t y = oy * p->stride_height - p->pad_top;
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            const int32_t x = ox * p->stride_width - p->pad_left;
            for (int32_t o = 0; o < out_channels; ++o) {
                const int8_t *channel = input + o / p->depth_multiplier;
                const int32_t sum = p->bias[o] + window_sum(p, channel, p->weights + o, y, x, out_channels);
                const int32_t scaled = qe_requantize(sum, p->multiplier[o], p->shift[o]);
                *output++ = qe_clamp_s8(scaled + p->output_zero_point, p->low, p->high);
            }
        }
    }
}
