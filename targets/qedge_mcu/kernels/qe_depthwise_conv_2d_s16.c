/* DEPTHWISE_CONV_2D with int16 activations, portable: any filter, stride, dilation, padding and multiplier. */
#include "qe_conv_2d_s16.h"

/* The taps of a window that lie inside the input, and where its first tap reads. */
typedef struct {
    int32_t y, x, left, right;
} window;

/* Return the sum of one channel's window; a row's products are added in 32 bits, 511 at a time. */
static int64_t window_sum(const qe_conv_2d_s16_params *p, const int16_t *input, const int8_t *weights, const window *w)
{
    const int32_t step = p->dilation_width * p->in_channels;
    const int32_t out_channels = p->out_channels;
    int64_t sum = 0;
    for (int32_t fy = 0; fy < p->filter_height; ++fy) {
        const int32_t in_y = w->y + fy * p->dilation_height;
        if (in_y < 0 || in_y >= p->in_height) {
            continue;
        }
        const int16_t *pixel = input + (in_y * p->in_width + w->x + w->left * p->dilation_width) * p->in_channels;
        const int8_t *tap = weights + (fy * p->filter_width + w->left) * out_channels;
        for (int32_t fx = w->left; fx < w->right;) {
            const int32_t end = w->right - fx < 511 ? w->right : fx + 511;
            int32_t part = 0;
            for (; fx < end; ++fx) {
                part += (int32_t)*pixel * *tap;
                pixel += step;
                tap += out_channels;
            }
            sum += part;
        }
    }
    return sum;
}

void qe_depthwise_conv_2d_s16(const qe_conv_2d_s16_params *p, const int16_t *input, int16_t *output)
{
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            window w;
            w.y = oy * p->stride_height - p->pad_top;
            w.x = ox * p->stride_width - p->pad_left;
            w.left = qe_first_tap(w.x, p->dilation_width);
            w.right = qe_end_tap(w.x, p->dilation_width, p->in_width, p->filter_width);
            for (int32_t o = 0; o < p->out_channels; ++o) {
                const int32_t channel = p->groups == 1 ? o : o / p->groups;
                const int64_t sum = p->bias[o] + window_sum(p, input + channel, p->weights + o, &w);
                *output++ = qe_clamp_s16(qe_requantize_s64(sum, p->multiplier[o], p->shift[o]), p->low, p->high);
            }
        }
    }
}
