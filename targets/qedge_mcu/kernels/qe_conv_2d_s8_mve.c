/* CONV_2D int8 for Helium: a window's bytes side by side, then a row of a matrix product. */
#include "qe_conv_2d_s8_mve.h"

#if QE_MVE

/* Copy n >= 0 bytes. */
static inline void copy(int8_t *to, const int8_t *from, int32_t n)
{
    __asm__ volatile(
        ".syntax unified\n"
        "wlstp.8 lr, %[n], 2f\n"
        "1:\n"
        "vldrb.8 q0, [%[from]], #16\n"
        "vstrb.8 q0, [%[to]], #16\n"
        "letp lr, 1b\n"
        "2:\n"
        : [from] "+r"(from), [to] "+r"(to)
        : [n] "r"(n)
        : "q0", "lr", "memory");
}

static inline void fill(int8_t *to, int32_t value, int32_t n)
{
    __asm__ volatile(
        ".syntax unified\n"
        "vdup.8 q0, %[value]\n"
        "wlstp.8 lr, %[n], 2f\n"
        "1:\n"
        "vstrb.8 q0, [%[to]], #16\n"
        "letp lr, 1b\n"
        "2:\n"
        : [to] "+r"(to)
        : [value] "r"(value), [n] "r"(n)
        : "q0", "lr", "memory");
}

#else

static void copy(int8_t *to, const int8_t *from, int32_t n)
{
    memcpy(to, from, (size_t)n);
}

static void fill(int8_t *to, int32_t value, int32_t n)
{
    memset(to, value, (size_t)n);
}

#endif

/* Write the window whose first tap reads the pixel (y, x); what lies outside the input is its zero point. */
static void copy_window(const qe_conv_2d_mve_params *p, const int8_t *input, int32_t y, int32_t x, int8_t *bytes)
{
    const int32_t channels = p->in_channels;
    const int32_t n = p->filter_width * channels;
    const int32_t row = p->in_width * channels;
    int32_t at = y * row + x * channels;
    int32_t rows = p->filter_height;
    if (y >= 0 && x >= 0 && y + rows <= p->in_height && x + p->filter_width <= p->in_width) {
        for (; rows > 0; --rows) {
            copy(bytes, input + at, n);
            bytes += n;
            at += row;
        }
        return;
    }
    const int32_t left = x < 0 ? -x : 0;
    const int32_t right = qe_clamp(p->in_width - x, left, p->filter_width);
    for (; rows > 0; --rows) {
        fill(bytes, p->input_zero_point, n);
        if (y >= 0 && y < p->in_height) {
            copy(bytes + left * channels, input + at + left * channels, (right - left) * channels);
        }
        bytes += n;
        ++y;
        at += row;
    }
}

void qe_conv_2d_s8_mve(const qe_conv_2d_mve_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    int8_t *bytes = (int8_t *)scratch;
    qe_matrix_params row;
    row.stream = p->stream;
    row.rows = 1;
    row.depth = (uint16_t)(p->filter_height * p->filter_width * p->in_channels);
    row.part = p->part;
    row.outputs = p->outputs;
    row.output_zero_point = p->output_zero_point;
    row.low = p->low;
    row.high = p->high;
    for (int32_t oy = 0; oy < p->out_height; ++oy) {
        for (int32_t ox = 0; ox < p->out_width; ++ox) {
            copy_window(p, input, oy * p->stride_height - p->pad_top, ox * p->stride_width - p->pad_left, bytes);
            qe_matrix_s8_mve(&row, bytes, output);
            output += p->outputs;
        }
    }
}
