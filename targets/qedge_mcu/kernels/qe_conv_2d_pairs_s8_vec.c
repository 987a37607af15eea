/* CONV_2D int8 with vectors: four pixels at a time, from the inputs of each one's window. */
#include "qe_conv_2d_pairs_s8_vec.h"

#include "qe_vectors.h"

#if QE_VECTORS

/* Where the inputs of four windows lie, one behind the other, and what the sums of them become. */
typedef struct {
    qe_value *inputs;
    uint32_t step; /* from one pixel to the next */
    uint32_t pairs;
    qe_range range;
} windows;

/* Write the inputs of the window whose first one is the pixel (y, x): outside they are the zero point. */
static void copy_window(const qe_conv_2d_pairs_params *p, const int8_t *input, int32_t y, int32_t x, qe_value *to)
{
    const int32_t n = p->filter_width * p->in_channels, row_bytes = p->in_width * p->in_channels;
    const int32_t first = x * p->in_channels;
    const int32_t left = qe_clamp(-first, 0, n);
    const int32_t inside = qe_clamp(row_bytes - first, left, n) - left;
    for (int32_t fy = y; fy < y + p->filter_height; ++fy) {
        if (fy < 0 || fy >= p->in_height) {
            to = qe_values_fill(to, p->input_zero_point, n);
        } else {
            to = qe_values_fill(to, p->input_zero_point, left);
            to = qe_values_copy(to, input + fy * row_bytes + first + left, inside);
            to = qe_values_fill(to, p->input_zero_point, n - left - inside);
        }
    }
}

/* Add to the sums s0-s3 of four pixels the products of the inputs' pairs PAIR and PAIR + 1. */
#define ADD_FOUR(PAIR, W0, W1) \
    QE_ADD_PAIRS(s0, x0, W0, W1, PAIR); \
    QE_ADD_PAIRS(s1, x1, W0, W1, PAIR); \
    QE_ADD_PAIRS(s2, x2, W0, W1, PAIR); \
    QE_ADD_PAIRS(s3, x3, W0, W1, PAIR)
#define LOAD_FOUR \
    const qe_inputs x0 = qe_inputs_load(x), x1 = qe_inputs_load(x + step), x2 = qe_inputs_load(x + 2 * step), \
                    x3 = qe_inputs_load(x + 3 * step)

static void four_pixels(const qe_conv_2d_pairs_params *p, const windows *in, int8_t *output)
{
    const int8_t *weights = p->weights;
    const uint32_t step = in->step, channels = p->out_channels;
    for (uint32_t o = 0; o < channels; o += 4) {
        const qe_value *x = in->inputs;
        qe_v4 s0 = qe_v4_load(p->bias + o), s1 = s0, s2 = s0, s3 = s0;
        uint32_t left = in->pairs;
        for (; left >= 4; left -= 4) {
            LOAD_FOUR;
            const qe_weights w0 = qe_weights_load(weights), w1 = qe_weights_load(weights + 8);
            ADD_FOUR(0, w0, w1);
            const qe_weights w2 = qe_weights_load(weights + 16), w3 = qe_weights_load(weights + 24);
            ADD_FOUR(2, w2, w3);
            x += 8;
            weights += 32;
        }
        for (; left != 0; --left) {
            LOAD_FOUR;
            const qe_weights w0 = qe_weights_load(weights), none = qe_weights_zero();
            ADD_FOUR(0, w0, none);
            x += 2;
            weights += 8;
        }
        const qe_scale scale = qe_scale_load(p->multiplier + o, p->shift + o);
        int8_t *to = output + o;
        qe_outputs_store(to, to + channels, qe_v4_requantize(s0, &scale), qe_v4_requantize(s1, &scale), &in->range);
        to += 2 * channels;
        qe_outputs_store(to, to + channels, qe_v4_requantize(s2, &scale), qe_v4_requantize(s3, &scale), &in->range);
    }
}

static void one_pixel(const qe_conv_2d_pairs_params *p, const windows *in, const qe_value *inputs, int8_t *output)
{
    const int8_t *weights = p->weights;
    for (uint32_t o = 0; o < p->out_channels; o += 4) {
        const qe_value *x = inputs;
        qe_v4 sums = qe_v4_load(p->bias + o);
        uint32_t left = in->pairs;
        for (; left >= 2; left -= 2) {
            const qe_inputs x0 = qe_inputs_load(x);
            const qe_weights w0 = qe_weights_load(weights), w1 = qe_weights_load(weights + 8);
            QE_ADD_PAIRS(sums, x0, w0, w1, 0);
            x += 4;
            weights += 16;
        }
        if (left != 0) {
            const qe_inputs x0 = qe_inputs_load(x);
            const qe_weights w0 = qe_weights_load(weights), none = qe_weights_zero();
            QE_ADD_PAIRS(sums, x0, w0, none, 0);
            weights += 8;
        }
        const qe_scale scale = qe_scale_load(p->multiplier + o, p->shift + o);
        sums = qe_v4_requantize(sums, &scale);
        qe_outputs_store(output + o, output + o, sums, sums, &in->range);
    }
}

void qe_conv_2d_pairs_s8_vec(const qe_conv_2d_pairs_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    const uint32_t depth = (uint32_t)p->filter_height * p->filter_width * p->in_channels;
    windows in;
    in.inputs = (qe_value *)scratch;
    in.step = (depth + 7u) / 8u * 8u;
    in.pairs = (depth + 1u) / 2u;
    in.range = qe_range_of(p->output_zero_point, p->low, p->high);
    int32_t oy = 0, ox = 0;
    for (int32_t left = p->out_height * p->out_width; left > 0;) {
        const int32_t count = left < 4 ? left : 4;
        for (int32_t i = 0; i < count; ++i) {
            copy_window(p, input, oy * p->stride_height - p->pad_top, ox * p->stride_width - p->pad_left,
                        in.inputs + (uint32_t)i * in.step);
            if (++ox == p->out_width) {
                ox = 0;
                ++oy;
            }
        }
        if (count == 4) {
            four_pixels(p, &in, output);
        } else {
            for (int32_t i = 0; i < count; ++i) {
                one_pixel(p, &in, in.inputs + (uint32_t)i * in.step, output + i * p->out_channels);
            }
        }
        output += count * p->out_channels;
        left -= count;
    }
}

#else

void qe_conv_2d_pairs_s8_vec(const qe_conv_2d_pairs_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    qe_conv_2d_pairs_s8(p, input, output, scratch);
}

#endif
