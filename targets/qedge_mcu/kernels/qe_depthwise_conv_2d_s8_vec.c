/* DEPTHWISE_CONV_2D int8 with vectors: eight channels at a time. */
#include "qe_depthwise_conv_2d_s8_vec.h"

#include "qe_vectors.h"

#if QE_VECTORS

/* The taps of an axis that lie inside the input. */
typedef struct {
    int32_t first, count;
} inside;

/* A tap's input and weight, in bytes from those of the window's first tap that lies inside. */
typedef struct {
    int32_t input, weights;
} tap;

/* Return the taps with 0 <= origin + tap * dilation < size. */
static inside taps_inside(int32_t origin, int32_t dilation, int32_t size, int32_t filter)
{
    inside t;
    t.first = origin < 0 ? (dilation - 1 - origin) / dilation : 0;
    if (origin + (filter - 1) * dilation >= size) {
        filter = (size - origin + dilation - 1) / dilation;
    }
    t.count = filter - t.first;
    return t;
}

/* Write the taps of a window that has so many rows and columns inside. */
static void list_taps(const qe_depthwise_conv_2d_params *p, int32_t rows, int32_t columns, tap *to)
{
    for (int32_t row = 0; row < rows; ++row) {
        for (int32_t column = 0; column < columns; ++column) {
            to->input = (row * p->dilation_height * p->in_width + column * p->dilation_width) * p->in_channels;
            to->weights = (row * p->filter_width + column) * p->in_channels;
            ++to;
        }
    }
}

static void eight_outputs(const qe_depthwise_conv_2d_params *p, const int8_t *input, const int8_t *weights,
                          const tap *taps, int32_t count, int32_t channel, const qe_range *range, int8_t *output)
{
    const qe_v8 offset = qe_v8_repeat(p->input_offset);
    qe_v4 low = qe_v4_load(p->bias + channel), high = qe_v4_load(p->bias + channel + 4);
    input += channel;
    weights += channel;
    for (; count >= 2; count -= 2) {
        const qe_v8 x0 = qe_v8_add(qe_v8_load_s8(input + taps[0].input), offset);
        const qe_v8 x1 = qe_v8_add(qe_v8_load_s8(input + taps[1].input), offset);
        qe_v8_add_products_2(&low, &high, x0, qe_v8_load_s8(weights + taps[0].weights), x1,
                             qe_v8_load_s8(weights + taps[1].weights));
        taps += 2;
    }
    if (count != 0) {
        const qe_v8 x = qe_v8_add(qe_v8_load_s8(input + taps[0].input), offset);
        qe_v8_add_products(&low, &high, x, qe_v8_load_s8(weights + taps[0].weights));
    }
    const qe_scale lower = qe_scale_load(p->multiplier + channel, p->shift + channel);
    low = qe_v4_requantize(low, &lower);
    const qe_scale upper = qe_scale_load(p->multiplier + channel + 4, p->shift + channel + 4);
    high = qe_v4_requantize(high, &upper);
    qe_outputs_store(output + channel, output + channel + 4, low, high, range);
}

void qe_depthwise_conv_2d_s8_vec(const qe_depthwise_conv_2d_params *p, const int8_t *input, int8_t *output,
                                 void *scratch)
{
    const int32_t channels = p->in_channels;
    const qe_range range = qe_range_of(p->output_zero_point, p->low, p->high);
    tap *taps = (tap *)scratch;
    int32_t listed_rows = 0, listed_columns = 0;
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        const int32_t y = oy * p->stride_height - p->pad_top;
        const inside rows = taps_inside(y, p->dilation_height, p->in_height, p->filter_height);
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            const int32_t x = ox * p->stride_width - p->pad_left;
            const inside columns = taps_inside(x, p->dilation_width, p->in_width, p->filter_width);
            if (rows.count != listed_rows || columns.count != listed_columns) {
                list_taps(p, rows.count, columns.count, taps);
                listed_rows = rows.count;
                listed_columns = columns.count;
            }
            const int32_t first_y = y + rows.first * p->dilation_height;
            const int32_t first_x = x + columns.first * p->dilation_width;
            const int8_t *first = input + (first_y * p->in_width + first_x) * channels;
            const int8_t *weights = p->weights + (rows.first * p->filter_width + columns.first) * channels;
            for (int32_t channel = 0; channel < channels; channel += 8) {
                /* The last eight end with the last channel: some are made a second time. */
                eight_outputs(p, first, weights, taps, rows.count * columns.count,
                              channel < channels - 8 ? channel : channels - 8, &range, output);
            }
            output += channels;
        }
    }
}

#else

void qe_depthwise_conv_2d_s8_vec(const qe_depthwise_conv_2d_params *p, const int8_t *input, int8_t *output,
                                 void *scratch)
{
    (void)scratch;
    qe_depthwise_conv_2d_s8(p, input, output);
}

#endif
