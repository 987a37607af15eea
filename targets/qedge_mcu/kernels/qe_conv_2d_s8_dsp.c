/* CONV_2D int8 for the DSP extension: two pixels at a time from 16-bit columns. */
#include "qe_conv_2d_s8_dsp.h"

/* Write the 1 to 3 bytes that n leaves over after fours, filled up with 0. */
static void expand_rest(uint32_t *columns, const int8_t *from, int32_t n)
{
    uint32_t word = (uint8_t)from[0];
    if (n > 1) {
        word |= (uint32_t)(uint8_t)from[1] << 8;
    }
    if (n > 2) {
        word |= (uint32_t)(uint8_t)from[2] << 16;
    }
    columns[0] = qe_lanes02(word);
    columns[1] = qe_lanes13(word);
}

/* Write n >= 1 bytes of two pixels. */
static uint32_t *expand(uint32_t *columns, const int8_t *pixel0, const int8_t *pixel1, int32_t n)
{
    if (n >= 4) {
        columns = qe_expand_2_dsp(columns, pixel0, pixel1, n);
    }
    const int32_t rest = n & 3;
    if (rest != 0) {
        expand_rest(columns, pixel0 + (n - rest), rest);
        expand_rest(columns + 2, pixel1 + (n - rest), rest);
        columns += 4;
    }
    return columns;
}

/* Copy n >= 1 bytes; the last word overlaps the one before it. */
static inline void copy_bytes(int8_t *to, const int8_t *from, int32_t n)
{
    if (n < 4) {
        while (n > 0) {
            --n;
            to[n] = from[n];
        }
        return;
    }
    int8_t *last = to + n - 4;
    const uint32_t word = qe_load4(from + n - 4);
    while (to < last) {
        qe_store4(to, qe_load4(from));
        to += 4;
        from += 4;
    }
    qe_store4(last, word);
}

/* Copy one row of a window; bytes outside the input are its zero point. */
static void copy_row(const qe_conv_2d_dsp_params *p, int8_t *bytes, const int8_t *input, int32_t y, int32_t x)
{
    const int32_t channels = p->in_channels;
    memset(bytes, p->input_zero_point, (size_t)(p->filter_width * channels));
    if (y >= 0 && y < p->in_height) {
        const int32_t first = x < 0 ? -x : 0;
        const int32_t last = qe_clamp(p->in_width - x, first, p->filter_width);
        const int8_t *from = input + (y * p->in_width + x + first) * channels;
        memcpy(bytes + first * channels, from, (size_t)((last - first) * channels));
    }
}

static int32_t is_inside(const qe_conv_2d_dsp_params *p, int32_t y, int32_t x)
{
    return y >= 0 && y + p->filter_height <= p->in_height && x >= 0 && x + p->filter_width <= p->in_width;
}

/* Copy a window whose first input is at (y, x), row after row. */
static void copy_window(const qe_conv_2d_dsp_params *p, int8_t *bytes, const int8_t *input, int32_t y, int32_t x)
{
    const int32_t n = p->filter_width * p->in_channels;
    if (is_inside(p, y, x) != 0) {
        const int8_t *from = input + (y * p->in_width + x) * p->in_channels;
        for (int32_t rows = p->filter_height; rows > 0; --rows) {
            copy_bytes(bytes, from, n);
            bytes += n;
            from += p->in_width * p->in_channels;
        }
        return;
    }
    for (int32_t fy = y; fy < y + p->filter_height; ++fy) {
        copy_row(p, bytes, input, fy, x);
        bytes += n;
    }
}

/* Write the windows of two pixels whose first inputs are at (y0, x0) and (y1, x1). */
static void expand_windows(const qe_conv_2d_dsp_params *p, uint32_t *columns, const int8_t *input,
                           const int32_t y[2], const int32_t x[2], int8_t *bytes)
{
    const int32_t channels = p->in_channels;
    const int32_t n = p->filter_width * channels;
    if (n % 4 != 0 || n < QE_CONV_2D_LONG_ROW) {
        const int32_t depth = (int32_t)p->depth;
        copy_window(p, bytes, input, y[0], x[0]);
        copy_window(p, bytes + depth, input, y[1], x[1]);
        (void)qe_expand_2_dsp(columns, bytes, bytes + depth, depth);
        return;
    }
    const int32_t inside = is_inside(p, y[0], x[0]) != 0 && is_inside(p, y[1], x[1]) != 0;
    for (int32_t fy = 0; fy < p->filter_height; ++fy) {
        if (inside != 0) {
            columns = qe_expand_2_dsp(columns, input + ((y[0] + fy) * p->in_width + x[0]) * channels,
                                      input + ((y[1] + fy) * p->in_width + x[1]) * channels, n);
        } else {
            copy_row(p, bytes, input, y[0] + fy, x[0]);
            copy_row(p, bytes + n, input, y[1] + fy, x[1]);
            columns = qe_expand_2_dsp(columns, bytes, bytes + n, n);
        }
    }
}

static qe_dot_dsp_call prepare(const qe_conv_2d_dsp_params *p, int8_t *output, const void *columns)
{
    qe_dot_dsp_call call;
    call.weights = p->weights;
    call.columns = (const uint32_t *)columns;
    call.out0 = output;
    call.out1 = output;
    call.pairs = p->out_channels / 2u;
    call.depth = p->depth;
    call.offset = 2 * p->output_zero_point + 1;
    return call;
}

/* Make the outputs of one or two pixels and move on. */
static void finish(const qe_conv_2d_dsp_params *p, qe_dot_dsp_call *call, int32_t pixels_left)
{
    int8_t *first = call->out0;
    int8_t *next = first + p->out_channels;
    call->out1 = pixels_left > 1 ? next : first;
    qe_dot_2x2_dsp(call);
    call->out0 = next + p->out_channels;
#ifdef QE_DSP_CLAMP
    for (int8_t *value = first; value < call->out1 + p->out_channels; ++value) {
        *value = qe_clamp_s8(*value, p->low, p->high);
    }
#endif
}

void qe_conv_2d_s8_dsp(const qe_conv_2d_dsp_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    uint32_t *columns = (uint32_t *)scratch;
    int8_t *bytes = (int8_t *)(columns + p->depth);
    qe_dot_dsp_call call = prepare(p, output, scratch);
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
        expand_windows(p, columns, input, y, x, bytes);
        finish(p, &call, left);
    }
}

void qe_conv_2d_1x1_s8_dsp(const qe_conv_2d_dsp_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    const int32_t channels = p->in_channels;
    qe_dot_dsp_call call = prepare(p, output, scratch);
    for (int32_t left = p->out_height * p->out_width; left > 0; left -= 2) {
        expand((uint32_t *)scratch, input, left > 1 ? input + channels : input, channels);
        finish(p, &call, left);
        input += 2 * channels;
    }
}
