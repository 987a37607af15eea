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

/* Write the windows of two pixels whose first inputs are at (y0, x0) and (y1, x1). */
static void expand_windows(const qe_conv_2d_dsp_params *p, uint32_t *columns, const int8_t *input,
                           const int32_t y[2], const int32_t x[2], int8_t *bytes)
{
    const int32_t channels = p->in_channels;
    const int32_t n = p->filter_width * channels;
    int32_t inside = 1;
    for (int32_t i = 0; i < 2; ++i) {
        inside &= y[i] >= 0 && y[i] + p->filter_height <= p->in_height;
        inside &= x[i] >= 0 && x[i] + p->filter_width <= p->in_width;
    }
    for (int32_t fy = 0; fy < p->filter_height; ++fy) {
        if (inside != 0) {
            columns = expand(columns, input + ((y[0] + fy) * p->in_width + x[0]) * channels,
                             input + ((y[1] + fy) * p->in_width + x[1]) * channels, n);
        } else {
            copy_row(p, bytes, input, y[0] + fy, x[0]);
            copy_row(p, bytes + n, input, y[1] + fy, x[1]);
            columns = expand(columns, bytes, bytes + n, n);
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
    call.depth = (uint32_t)p->filter_height * p->run;
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
    int8_t *bytes = (int8_t *)(columns + (int32_t)p->filter_height * p->run);
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
