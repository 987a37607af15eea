/* CONV_2D int8, portable: any filter, stride, dilation, padding and number of groups; four outputs at a time. */
#include "qe_conv_2d_s8.h"

#include "qe_dot_s8.h"

/* The taps of a window that lie inside the input: rows [top, bottom) and columns [left, right). */
typedef struct {
    int32_t top, bottom, left, right;
} taps;

/* Return the first tap of an axis with origin + tap * dilation >= 0. */
static int32_t first_inside(int32_t origin, int32_t dilation)
{
    return origin < 0 ? (dilation - 1 - origin) / dilation : 0;
}

/* Return one more than the last tap with origin + tap * dilation < size. */
static int32_t end_inside(int32_t origin, int32_t dilation, int32_t size, int32_t filter)
{
    const int32_t end = (size - origin + dilation - 1) / dilation;
    return end < filter ? end : filter;
}

/* Add a whole window, whose first tap reads the pixel (y, x), for count outputs, which is 4 or 1. */
static void add_window(const qe_conv_2d_params *p, int32_t *sums, const int8_t *input, const int8_t *weights,
                       int32_t count, const taps *t, int32_t y, int32_t x)
{
    const int32_t depth = p->in_channels / p->groups;
    /* Neighbouring taps are neighbouring bytes, unless something lies between them. */
    const int32_t at_once = p->groups == 1 && p->dilation_width == 1 ? t->right - t->left : 1;
    for (int32_t fy = t->top; fy < t->bottom; ++fy) {
        const int8_t *row = input + (y + fy * p->dilation_height) * p->in_width * p->in_channels;
        for (int32_t fx = t->left; fx < t->right; fx += at_once) {
            const int8_t *pixel = row + (x + fx * p->dilation_width) * p->in_channels;
            const int8_t *w = weights + (fy * p->filter_width + fx) * depth * count;
            if (count == 4) {
                qe_dot_4_s8(sums, pixel, w, at_once * depth, p->input_offset);
            } else {
                qe_dot_1_s8(sums, pixel, w, at_once * depth, p->input_offset);
            }
        }
    }
}

void qe_conv_2d_s8(const qe_conv_2d_params *p, const int8_t *input, int8_t *output)
{
    const int32_t depth = p->in_channels / p->groups;
    const int32_t group_outputs = p->out_channels / p->groups;
    const int32_t filter = p->filter_height * p->filter_width * depth;
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        const int32_t y = oy * p->stride_height - p->pad_top;
        taps t;
        t.top = first_inside(y, p->dilation_height);
        t.bottom = end_inside(y, p->dilation_height, p->in_height, p->filter_height);
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            const int32_t x = ox * p->stride_width - p->pad_left;
            t.left = first_inside(x, p->dilation_width);
            t.right = end_inside(x, p->dilation_width, p->in_width, p->filter_width);
            for (int32_t o = 0; o < p->out_channels;) {
                const int32_t group = o / group_outputs;
                const int32_t count = (group + 1) * group_outputs - o >= 4 ? 4 : 1;
                int32_t sums[4] = {0, 0, 0, 0};
                add_window(p, sums, input + group * depth, p->weights + o * filter, count, &t, y, x);
                for (int32_t i = 0; i < count; ++i, ++o) {
                    const int32_t scaled = qe_requantize(sums[i] + p->bias[o], p->multiplier[o], p->shift[o]);
                    *output++ = qe_clamp_s8(scaled + p->output_zero_point, p->low, p->high);
                }
            }
        }
    }
}
