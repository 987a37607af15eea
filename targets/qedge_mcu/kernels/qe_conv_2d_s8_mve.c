/* CONV_2D int8 for Helium: a window's bytes side by side, then a row of a matrix product. */
#include "qe_conv_2d_s8_mve.h"

#if QE_MVE

static void copy(int8_t *to, const int8_t *from, int32_t n)
{
    for (; n > 0; n -= 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)n);
        vstrbq_p_s8(to, vldrbq_z_s8(from, lanes), lanes);
        to += 16;
        from += 16;
    }
}

static void fill(int8_t *to, int8_t value, int32_t n)
{
    for (; n > 0; n -= 16) {
        vstrbq_p_s8(to, vdupq_n_s8(value), vctp8q((uint32_t)n));
        to += 16;
    }
}

#else

static void copy(int8_t *to, const int8_t *from, int32_t n)
{
    memcpy(to, from, (size_t)n);
}

static void fill(int8_t *to, int8_t value, int32_t n)
{
    memset(to, value, (size_t)n);
}

#endif

static void copy_window(const qe_conv_2d_mve_params *p, const int8_t *input, int32_t y, int32_t x, int8_t *bytes)
{
    const int32_t channels = p->in_channels;
    const int32_t n = p->filter_width * channels;
    const int32_t left = x < 0 ? -x : 0;
    const int32_t right = qe_clamp(p->in_width - x, left, p->filter_width);
    for (int32_t fy = y; fy < y + p->filter_height; ++fy) {
        if (fy < 0 || fy >= p->in_height) {
            fill(bytes, p->input_zero_point, n);
        } else {
            const int8_t *from = input + (fy * p->in_width + x + left) * channels;
            if (right - left < p->filter_width) {
                fill(bytes, p->input_zero_point, n);
            }
            copy(bytes + left * channels, from, (right - left) * channels);
        }
        bytes += n;
    }
}

void qe_conv_2d_s8_mve(const qe_conv_2d_mve_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    int8_t *bytes = (int8_t *)scratch;
    qe_matrix_params matrix;
    matrix.weights = p->weights;
    matrix.bias = p->bias;
    matrix.multiplier = p->multiplier;
    matrix.shift = p->shift;
    matrix.rows = 1;
    matrix.depth = (uint16_t)(p->filter_height * p->filter_width * p->in_channels);
    matrix.outputs = p->outputs;
    matrix.output_zero_point = p->output_zero_point;
    matrix.low = p->low;
    matrix.high = p->high;
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            copy_window(p, input, oy * p->stride_height - p->pad_top, ox * p->stride_width - p->pad_left, bytes);
            qe_matrix_s8_mve(&matrix, bytes, output);
            output += p->outputs;
        }
    }
}
