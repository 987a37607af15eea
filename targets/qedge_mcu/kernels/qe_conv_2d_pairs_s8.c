/* CONV_2D int8, portable: two pixels at a time, from a column of both for every input of the window. */
#include "qe_conv_2d_pairs_s8.h"

#include "qe_dot_2x4_s8.h"

/* Write n columns of two rows of bytes; return their end. */
static uint32_t *pair_bytes(uint32_t *columns, const int8_t *row0, const int8_t *row1, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        *columns++ = qe_column(row0[i], row1[i]);
    }
    return columns;
}

/* The byte of a window's row that lies at column x of the input, in bytes: outside it is the zero point. */
static int32_t byte_at(const qe_conv_2d_pairs_params *p, const int8_t *row, int32_t x)
{
    return row != NULL && x >= 0 && x < p->in_width * p->in_channels ? row[x] : p->input_zero_point;
}

static const int8_t *row_at(const qe_conv_2d_pairs_params *p, const int8_t *input, int32_t y)
{
    return y >= 0 && y < p->in_height ? input + y * p->in_width * p->in_channels : NULL;
}

/* Write the columns of the windows whose first inputs are the pixels (y[0], x[0]) and (y[1], x[1]). */
static void pair_windows(const qe_conv_2d_pairs_params *p, const int8_t *input, const int32_t y[2], const int32_t x[2],
                         uint32_t *columns)
{
    const int32_t channels = p->in_channels;
    const int32_t n = p->filter_width * channels;
    const int32_t first0 = x[0] * channels, first1 = x[1] * channels;
    const int32_t end = p->in_width * channels;
    for (int32_t fy = 0; fy < p->filter_height; ++fy) {
        const int8_t *row0 = row_at(p, input, y[0] + fy), *row1 = row_at(p, input, y[1] + fy);
        if (row0 != NULL && row1 != NULL && first0 >= 0 && first1 >= 0 && first0 + n <= end && first1 + n <= end) {
            columns = pair_bytes(columns, row0 + first0, row1 + first1, n);
        } else {
            for (int32_t i = 0; i < n; ++i) {
                *columns++ = qe_column(byte_at(p, row0, first0 + i), byte_at(p, row1, first1 + i));
            }
        }
    }
    *columns = 0;
}

/* Make all outputs of two pixels. */
static void outputs_of_pair(const qe_conv_2d_pairs_params *p, const uint32_t *columns, uint32_t pairs, int8_t *output0,
                            int8_t *output1)
{
    const int8_t *weights = p->weights;
    for (int32_t o = 0; o < p->out_channels; o += 4) {
        int32_t sums[8];
        qe_dot_2x4_s8(columns, weights, pairs, sums);
        weights += 8u * pairs;
        for (int32_t i = 0; i < 4; ++i) {
            const int32_t bias = p->bias[o + i], multiplier = p->multiplier[o + i], right = -p->shift[o + i];
            int32_t y = qe_rounding_shift(qe_high_mul(sums[4 + i] + bias, multiplier), right);
            output1[o + i] = qe_clamp_s8(y + p->output_zero_point, p->low, p->high);
            y = qe_rounding_shift(qe_high_mul(sums[i] + bias, multiplier), right);
            output0[o + i] = qe_clamp_s8(y + p->output_zero_point, p->low, p->high);
        }
    }
}

void qe_conv_2d_pairs_s8(const qe_conv_2d_pairs_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    uint32_t *columns = (uint32_t *)scratch;
    const uint32_t pairs = ((uint32_t)p->filter_height * p->filter_width * p->in_channels + 1u) / 2u;
    int32_t oy = 0, ox = 0;
    for (int32_t left = p->out_height * p->out_width; left > 0; left -= 2) {
        int32_t y[2], x[2];
        for (int32_t i = 0; i < 2; ++i) {
            y[i] = oy * p->stride_height - p->pad_top;
            x[i] = ox * p->stride_width - p->pad_left;
            if (++ox == p->out_width) {
                ox = 0;
                ++oy;
            }
        }
        pair_windows(p, input, y, x, columns);
        /* A last pixel by itself is made twice: pixel 1 is written before it. */
        outputs_of_pair(p, columns, pairs, output, left > 1 ? output + p->out_channels : output);
        output += 2 * p->out_channels;
    }
}
