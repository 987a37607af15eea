/* CONV_2D with int16 activations, portable: any filter, stride, dilation, padding and number of groups. */
#include "qe_conv_2d_s16.h"

/* The taps of a window that lie inside the input, and where its first tap reads. */
typedef struct {
    int32_t y, x, left, right;
} window;

static int64_t window_sum(const qe_conv_2d_s16_params *p, const int16_t *input, const int8_t *weights, const window *w)
{
    const int32_t depth = p->in_channels / p->groups;
    /* Neighbouring taps are neighbouring values, unless something lies between them. */
    const int32_t at_once = p->groups == 1 && p->dilation_width == 1 ? w->right - w->left : 1;
    int64_t sum = 0;
    for (int32_t fy = 0; fy < p->filter_height; ++fy) {
        const int32_t in_y = w->y + fy * p->dilation_height;
        if (in_y < 0 || in_y >= p->in_height) {
            continue;
        }
        for (int32_t fx = w->left; fx < w->right; fx += at_once) {
            const int16_t *pixel = input + (in_y * p->in_width + w->x + fx * p->dilation_width) * p->in_channels;
            const int8_t *taps = weights + (fy * p->filter_width + fx) * depth;
            sum += qe_dot_s16(pixel, taps, at_once * depth);
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
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            window w;
            w.y = oy * p->stride_height - p->pad_top;
            w.x = ox * p->stride_width - p->pad_left;
            w.left = qe_first_tap(w.x, p->dilation_width);
            w.right = qe_end_tap(w.x, p->dilation_width, p->in_width, p->filter_width);
            for (int32_t o = 0; o < p->out_channels; ++o) {
                const int16_t *from = input + (p->groups == 1 ? 0 : o / group_outputs * depth);
                const int64_t sum = p->bias[o] + window_sum(p, from, p->weights + o * filter, &w);
                *output++ = qe_clamp_s16(qe_requantize_s64(sum, p->multiplier[o], p->shift[o]), p->low, p->high);
            }
        }
    }
}
