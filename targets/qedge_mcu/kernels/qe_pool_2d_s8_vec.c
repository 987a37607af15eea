/* AVERAGE_POOL_2D and MAX_POOL_2D int8 with vectors: eight channels at a time. */
#include "qe_pool_2d_s8_vec.h"

#include "qe_vectors.h"

#if QE_VECTORS

/* The part of a window that lies inside the input: its first pixel, and how many there are. */
typedef struct {
    const int8_t *input;
    int32_t rows, columns;
    int32_t step, row; /* bytes from pixel to pixel, and from row to row */
} inside;

typedef void eight_outputs(const qe_pool_2d_params *p, const inside *w, int32_t channel, int8_t *output);

static void averages(const qe_pool_2d_params *p, const inside *w, int32_t channel, int8_t *output)
{
    const qe_v8 one = qe_v8_repeat(1);
    const int32_t count = w->rows * w->columns;
    int32_t sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    qe_v4 low = qe_v4_load(sums), high = low;
    const int8_t *row = w->input + channel;
    for (int32_t y = 0; y < w->rows; ++y) {
        for (int32_t x = 0; x < w->columns; ++x) {
            qe_v8_add_products(&low, &high, qe_v8_load_s8(row + x * w->step), one);
        }
        row += w->row;
    }
    qe_v4_store(sums, low);
    qe_v4_store(sums + 4, high);
    for (int32_t i = 0; i < 8; ++i) {
        const int32_t mean = (sums[i] + (sums[i] > 0 ? count / 2 : -(count / 2))) / count;
        output[channel + i] = qe_clamp_s8(mean, p->low, p->high);
    }
}

static void largest(const qe_pool_2d_params *p, const inside *w, int32_t channel, int8_t *output)
{
    const qe_range range = qe_range_of(0, p->low, p->high);
    qe_v8 found = qe_v8_repeat(INT8_MIN);
    const int8_t *row = w->input + channel;
    for (int32_t y = 0; y < w->rows; ++y) {
        for (int32_t x = 0; x < w->columns; ++x) {
            found = qe_v8_max(found, qe_v8_load_s8(row + x * w->step));
        }
        row += w->row;
    }
    output += channel;
    qe_outputs_store(output, output + 4, qe_v8_lower(found, 0), qe_v8_upper(found, 0), &range);
}

static void pool(const qe_pool_2d_params *p, const int8_t *input, int8_t *output, eight_outputs *make)
{
    const int32_t channels = p->channels;
    inside w;
    w.step = channels;
    w.row = p->in_width * channels;
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        const int32_t y = oy * p->stride_height - p->pad_top;
        const int32_t top = y > 0 ? y : 0;
        w.rows = qe_clamp(y + p->filter_height, 0, p->in_height) - top;
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            const int32_t x = ox * p->stride_width - p->pad_left;
            const int32_t left = x > 0 ? x : 0;
            w.columns = qe_clamp(x + p->filter_width, 0, p->in_width) - left;
            w.input = input + top * w.row + left * channels;
            for (int32_t channel = 0; channel < channels; channel += 8) {
                /* The last eight end with the last channel: some are made a second time. */
                make(p, &w, channel < channels - 8 ? channel : channels - 8, output);
            }
            output += channels;
        }
    }
}

#endif

void qe_average_pool_2d_s8_vec(const qe_pool_2d_params *p, const int8_t *input, int8_t *output)
{
#if QE_VECTORS
    pool(p, input, output, averages);
#else
    qe_average_pool_2d_s8(p, input, output);
#endif
}

void qe_max_pool_2d_s8_vec(const qe_pool_2d_params *p, const int8_t *input, int8_t *output)
{
#if QE_VECTORS
    pool(p, input, output, largest);
#else
    qe_max_pool_2d_s8(p, input, output);
#endif
}
