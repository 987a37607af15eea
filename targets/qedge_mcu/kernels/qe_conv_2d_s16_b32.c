/* CONV_2D with int16 activations and a bias of 32 bits, portable: any filter, stride, dilation, padding, groups. */
#include "qe_conv_2d_s16_b32.h"

/* Return the sum over the window whose first tap reads (y, x); it wraps, as sums of 32 bits do. */
static uint32_t window_sum(
    const qe_conv_2d_s16_b32_params *p, const int16_t *input, const int8_t *weights, int32_t y, int32_t x)
{
    const int32_t depth = p->in_channels / p->groups;
    const int32_t end = qe_end_tap(x, p->dilation_width, p->in_width, p->filter_width);
    uint32_t sum = 0;
    for (int32_t fy = 0; fy < p->filter_height; ++fy) {
        const int32_t in_y = y + fy * p->dilation_height;
        if (in_y < 0 || in_y >= p->in_height) {
            continue;
        }
        for (int32_t fx = qe_first_tap(x, p->dilation_width); fx < end; ++fx) {
            const int16_t *pixel = input + (in_y * p->in_width + x + fx * p->dilation_width) * p->in_channels;
            sum += (uint32_t)qe_dot_s16(pixel, weights + (fy * p->filter_width + fx) * depth, depth);
        }
    }
    return sum;
}

void qe_conv_2d_s16_b32(const qe_conv_2d_s16_b32_params *p, const int16_t *input, int16_t *output)
{
    const int32_t depth = p->in_channels / p->groups;
    const int32_t group_outputs = p->out_channels / p->groups;
    const int32_t filter = p->filter_height * p->filter_width * depth;
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            const int32_t y = oy * p->stride_height - p->pad_top;
            const int32_t x = ox * p->stride_width - p->pad_left;
            for (int32_t o = 0; o < p->out_channels; ++o) {
                const int16_t *from = input + o / group_outputs * depth;
                const uint32_t sum = (uint32_t)p->bias[o] + window_sum(p, from, p->weights + o * filter, y, x);
                const int32_t scaled = qe_requantize((int32_t)sum, p->multiplier[o], p->shift[o]);
                *output++ = qe_clamp_s16(scaled, p->low, p->high);
            }
        }
    }
}
