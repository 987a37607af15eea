/* CONV_2D with int16 activations, portable: any filter, stride, dilation, padding and number of groups. */
#include "qe_conv_2d_s16.h"

static int64_t window(const qe_conv_2d_s16_params *p, const int16_t *input, const int8_t *weights, int32_t y,
                      int32_t x)
{
    const int32_t depth = p->in_channels / p->groups;
    int64_t sum = 0;
    for (int32_t fy = 0; fy < p->filter_height; ++fy) {
        const int32_t in_y = y + fy * p->dilation_height;
        for (int32_t fx = 0; fx < p->filter_width; ++fx) {
            const int32_t in_x = x + fx * p->dilation_width;
            if (in_y >= 0 && in_y < p->in_height && in_x >= 0 && in_x < p->in_width) {
                const int16_t *pixel = input + (in_y * p->in_width + in_x) * p->in_channels;
                for (int32_t c = 0; c < depth; ++c) {
                    sum += (int32_t)pixel[c] * weights[c];
                }
            }
            weights += depth;
        }
    }
    return sum;
}

void qe_conv_2d_s16(const qe_conv_2d_s16_params *p, const int16_t *input, int16_t *output)
{
    const int32_t depth = p->in_channels / p->groups;
    const int32_t group_outputs = p->out_channels / p->groups;
    const int32_t filter = p->filter_height * p->filter_width * depth;
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        const int32_t y = oy * p->stride_height - p->pad_top;
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            const int32_t x = ox * p->stride_width - p->pad_left;
            for (int32_t o = 0; o < p->out_channels; ++o) {
                const int16_t *from = input + o / group_outputs * depth;
                const int64_t sum = p->bias[o] + window(p, from, p->weights + o * filter, y, x);
                *output++ = qe_clamp_s16(qe_requantize_s64(sum, p->multiplier[o], p->shift[o]), p->low, p->high);
            }
        }
    }
}
