/* DEPTHWISE_CONV_2D int8, portable: any filter, stride, dilation, padding and depth multiplier. */
#include "qe_depthwise_conv_2d_s8.h"

/* The part of a window that lies inside the input: its first input and weight, and the taps from there. */
typedef struct {
    const int8_t *input, *weights;
    int32_t rows, columns;
    int32_t input_step, input_row, weights_step, weights_row; /* bytes from tap to tap, and from row to row */
} inside;

/* Return the first tap of an axis with origin + tap * dilation >= 0. */
static int32_t first_inside(int32_t origin, int32_t dilation)
{
    return origin < 0 ? (dilation - 1 - origin) / dilation : 0;
}

/* Return the number of taps from first on that lie inside. */
static int32_t count_inside(int32_t first, int32_t origin, int32_t dilation, int32_t size, int32_t filter)
{
    const int32_t end = (size - origin + dilation - 1) / dilation;
    return (end < filter ? end : filter) - first;
}

static inside clip(const qe_depthwise_conv_2d_params *p, const int8_t *input, int32_t y, int32_t x)
{
    const int32_t top = first_inside(y, p->dilation_height);
    const int32_t left = first_inside(x, p->dilation_width);
    const int32_t out_channels = p->in_channels * p->depth_multiplier;
    inside w;
    w.rows = count_inside(top, y, p->dilation_height, p->in_height, p->filter_height);
    w.columns = count_inside(left, x, p->dilation_width, p->in_width, p->filter_width);
    w.input_step = p->dilation_width * p->in_channels;
    w.input_row = p->dilation_height * p->in_width * p->in_channels;
    w.weights_step = out_channels;
    w.weights_row = p->filter_width * out_channels;
    w.input = input + (y + top * p->dilation_height) * p->in_width * p->in_channels
        + (x + left * p->dilation_width) * p->in_channels;
    w.weights = p->weights + top * w.weights_row + left * w.weights_step;
    return w;
}

static int32_t window_sum(const inside *w, int32_t channel, int32_t out_channel, int32_t offset)
{
    int32_t sum = 0;
    const int8_t *input = w->input + channel, *weights = w->weights + out_channel;
    const int32_t input_step = w->input_step, weights_step = w->weights_step;
    for (int32_t row = w->rows; row > 0; --row) {
        const int8_t *x = input, *tap = weights;
        for (int32_t column = w->columns; column > 0; --column) {
            sum += (*x + offset) * *tap;
            x += input_step;
            tap += weights_step;
        }
        input += w->input_row;
        weights += w->weights_row;
    }
    return sum;
}

/* The sums of four neighbouring channels, when each input channel makes one output. */
static void four_sums(const inside *w, int32_t channel, int32_t offset, int32_t sums[4])
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    const int8_t *input = w->input + channel, *weights = w->weights + channel;
    const int32_t step = w->input_step, weights_step = w->weights_step;
    for (int32_t row = w->rows; row > 0; --row) {
        const int8_t *x = input, *tap = weights;
        for (int32_t column = w->columns; column > 0; --column) {
            s0 += (x[0] + offset) * tap[0];
            s1 += (x[1] + offset) * tap[1];
            s2 += (x[2] + offset) * tap[2];
            s3 += (x[3] + offset) * tap[3];
            x += step;
            tap += weights_step;
        }
        input += w->input_row;
        weights += w->weights_row;
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

void qe_depthwise_conv_2d_s8(const qe_depthwise_conv_2d_params *p, const int8_t *input, int8_t *output)
{
    const int32_t out_channels = p->in_channels * p->depth_multiplier;
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        const int32_t y = oy * p->stride_height - p->pad_top;
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            const inside w = clip(p, input, y, ox * p->stride_width - p->pad_left);
            for (int32_t o = 0; o < out_channels;) {
                int32_t sums[4];
                int32_t count = 1;
                if (p->depth_multiplier == 1 && out_channels - o >= 4) {
                    four_sums(&w, o, p->input_offset, sums);
                    count = 4;
                } else {
                    sums[0] = window_sum(&w, o / p->depth_multiplier, o, p->input_offset);
                }
                for (int32_t i = 0; i < count; ++i, ++o) {
                    const int32_t scaled = qe_requantize(sums[i] + p->bias[o], p->multiplier[o], p->shift[o]);
                    *output++ = qe_clamp_s8(scaled + p->output_zero_point, p->low, p->high);
                }
            }
        }
    }
}
