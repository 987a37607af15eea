/* TRANSPOSE_CONV int8: each output value gathers the input pixels whose filter reaches it. */
#include "qe_transpose_conv_s8.h"

/* Return the input index that tap `tap` of output `at` comes from, or -1. */
static int32_t source(int32_t at, int32_t tap, int32_t pad, int32_t stride, int32_t size)
{
    const int32_t spread = at + pad - tap;
    if (spread < 0 || spread % stride != 0 || spread / stride >= size) {
        return -1;
    }
    return spread / stride;
}

static int32_t gather(const qe_transpose_conv_params *p, const int8_t *input, const int8_t *weights, int32_t y,
                      int32_t x)
{
    int32_t sum = 0;
    for (int32_t fy = 0; fy < p->filter_height; ++fy) {
        const int32_t in_y = source(y, fy, p->pad_top, p->stride_height, p->in_height);
        for (int32_t fx = 0; fx < p->filter_width; ++fx) {
            const int32_t in_x = source(x, fx, p->pad_left, p->stride_width, p->in_width);
            if (in_y >= 0 && in_x >= 0) {
                const int8_t *pixel = input + (in_y * p->in_width + in_x) * p->in_channels;
                for (int32_t c = 0; c < p->in_channels; ++c) {
                    sum += (pixel[c] + p->input_offset) * weights[c];
                }
            }
            weights += p->in_channels;
        }
    }
    return sum;
}

void qe_transpose_conv_s8(const qe_transpose_conv_params *p, const int8_t *input, int8_t *output)
{
    const int32_t filter = p->filter_height * p->filter_width * p->in_channels;
    for (int32_t y = 0; y < p->out_height; ++y) {
        for (int32_t x = 0; x < p->out_width; ++x) {
            for (int32_t o = 0; o < p->out_channels; ++o) {
                const int32_t sum = p->bias[o] + gather(p, input, p->weights + o * filter, y, x);
                const int32_t scaled = qe_requantize(sum, p->multiplier[o], p->shift[o]);
                *output++ = qe_clamp_s8(scaled + p->output_zero_point, p->low, p->high);
            }
        }
    }
}
