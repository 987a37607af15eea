/* TRANSPOSE_CONV with int16 activations: each output value gathers the input pixels whose filter reaches it. */
#include "qe_conv_2d_s16.h"

/* Return the input index that tap `tap` of output `at` comes from, or -1. */
static int32_t source(int32_t at, int32_t tap, int32_t pad, int32_t stride, int32_t size)
{
    const int32_t spread = at + pad - tap;
    if (spread < 0 || spread % stride != 0 || spread / stride >= size) {
        return -1;
    }
    return spread / stride;
}

static int64_t gather(const qe_conv_2d_s16_params *p, const int16_t *input, const int8_t *weights, int32_t y,
                      int32_t x)
{
    int64_t sum = 0;
    for (int32_t fy = 0; fy < p->filter_height; ++fy) {
        const int32_t in_y = source(y, fy, p->pad_top, p->stride_height, p->in_height);
        for (int32_t fx = 0; fx < p->filter_width; ++fx) {
            const int32_t in_x = source(x, fx, p->pad_left, p->stride_width, p->in_width);
            if (in_y >= 0 && in_x >= 0) {
                const int16_t *pixel = input + (in_y * p->in_width + in_x) * p->in_channels;
                sum += qe_dot_s16(pixel, weights, p->in_channels);
            }
            weights += p->in_channels;
        }
    }
    return sum;
}

void qe_transpose_conv_s16(const qe_conv_2d_s16_params *p, const int16_t *input, int16_t *output)
{
    const int32_t filter = p->filter_height * p->filter_width * p->in_channels;
    for (int32_t y = 0; y < p->out_height; ++y) {
        for (int32_t x = 0; x < p->out_width; ++x) {
            for (int32_t o = 0; o < p->out_channels; ++o) {
                const int64_t sum = p->bias[o] + gather(p, input, p->weights + o * filter, y, x);
                *output++ = qe_clamp_s16(qe_requantize_s64(sum, p->multiplier[o], p->shift[o]), p->low, p->high);
            }
        }
    }
}
