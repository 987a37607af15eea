/* CONV_2D int8 for the DSP extension: two or three pixels at a time from 16-bit columns. */
#include "qe_conv_2d_s8_dsp.h"

#if defined(QE_DOT_2X2_SIGNED) || defined(QE_DOT_2X2_PLAIN)
#define TWOS 1
#else
#define TWOS 0
#endif
#if defined(QE_DOT_3X2_SIGNED) || defined(QE_DOT_3X2_PLAIN)
#define THREES 1
#else
#define THREES 0
#endif
#if TWOS && THREES
#define PIXELS ((int32_t)p->pixels)
#elif TWOS
#define PIXELS 2
#else
#define PIXELS 3
#endif

/* Fill n >= 0 bytes. */
static QE_DSP_APART void fill_bytes(int8_t *to, int8_t value, int32_t n)
{
    const uint32_t word = (uint8_t)value * 0x01010101u;
    QE_ROLLED
    for (; n >= 4; n -= 4) {
        qe_store4(to, word);
        to += 4;
    }
    QE_ROLLED
    for (; n > 0; --n) {
        *to++ = value;
        QE_KEEP_LOOP(to);
    }
}

/* Copy n >= 0 bytes. */
static void copy_bytes(int8_t *to, const int8_t *from, int32_t n)
{
    QE_ROLLED
    for (; n >= 4; n -= 4) {
        qe_store4(to, qe_load4(from));
        to += 4;
        from += 4;
    }
    QE_ROLLED
    for (; n > 0; --n) {
        *to++ = *from++;
    }
}

/* Return one row of a window whose first input is at (y, x): where it lies, or, unless it is all inside, a copy in bytes,
 * where what is outside the input is its zero point. */
static QE_DSP_APART const int8_t *row_of(const qe_conv_2d_dsp_params *p, const int8_t *input, int32_t y, int32_t x,
                                         int8_t *bytes)
{
    const int32_t channels = p->in_channels, width = p->filter_width;
    int32_t first = 0, last = 0;
    if (y >= 0 && y < p->in_height) {
        first = x < 0 ? -x : 0;
        last = p->in_width - x < width ? p->in_width - x : width;
        input += (y * p->in_width + x + first) * channels;
        if (last - first == width) {
            return input;
        }
        last = last > first ? last : first;
    }
    if (first > 0) {
        fill_bytes(bytes, p->input_zero_point, first * channels);
    }
    copy_bytes(bytes + first * channels, input, (last - first) * channels);
    fill_bytes(bytes + last * channels, p->input_zero_point, (width - last) * channels);
    return bytes;
}

/* Write words of rows of two or three pixels as columns. */
static inline void expand(const qe_conv_2d_dsp_params *p, uint32_t *columns, const int8_t *a, const int8_t *b,
                          const int8_t *c, int32_t words, int32_t rows, int32_t row_bytes)
{
#if THREES
    if (PIXELS == 3) {
        qe_expand_3_dsp(columns, a, b, c, (uint32_t)words, (uint32_t)rows, (uint32_t)row_bytes);
    }
#endif
#if TWOS
    if (PIXELS == 2) {
        qe_expand_2_dsp(columns, a, b, (uint32_t)words, (uint32_t)rows, (uint32_t)row_bytes);
    }
#endif
    (void)p;
    (void)c;
}

#ifdef QE_CONV_2D_REST
/* Gather the bytes that count rows have over whole words; there are filter_height times as many places as bytes. */
static QE_DSP_APART void gather(const qe_conv_2d_dsp_params *p, int8_t *to, const int8_t *row, int32_t count)
{
    const int32_t n = p->filter_width * p->in_channels, row_bytes = p->in_width * p->in_channels;
    for (int32_t k = n & ~3; k < n; ++k) {
        const int8_t *from = row + k;
        QE_ROLLED
        for (int32_t i = 0; i < count; ++i) {
            to[i] = *from;
            from += row_bytes;
        }
        to += p->filter_height;
    }
}

/* Bytes of a window that are over whole words, as columns have them. */
static inline int32_t rest_of(const qe_conv_2d_dsp_params *p)
{
    return (p->filter_height * ((p->filter_width * p->in_channels) & 3) + 3) & ~3;
}

/* Write columns from the bytes that gather left in all windows. */
static void expand_rest(const qe_conv_2d_dsp_params *p, uint32_t *columns, const int8_t *rests)
{
    const int32_t bytes = rest_of(p);
    columns += 2 * PIXELS * (((int32_t)p->depth - bytes) / 4);
    expand(p, columns, rests, rests + bytes, rests + 2 * bytes, bytes / 4, 1, 0);
}

#endif

/* Write the columns of some windows row by row: they may reach outside, lie in different rows, or be beyond the last
 * one, in whose place they are the first again. */
static QE_DSP_APART void expand_outside(const qe_conv_2d_dsp_params *p, const int8_t *input, void *scratch, int32_t pixel)
{
    const int32_t n = p->filter_width * p->in_channels;
    uint32_t *columns = (uint32_t *)scratch;
    int8_t *bytes = (int8_t *)scratch + 2 * (uint32_t)PIXELS * p->depth;
#ifdef QE_CONV_2D_REST
    int8_t *const rests = bytes;
    const int32_t rest = rest_of(p);
    bytes += PIXELS * rest;
#endif
    for (int32_t fy = 0; fy < p->filter_height; ++fy) {
        const int8_t *from[3] = {input, input, input};
        QE_ROLLED
        for (int32_t i = 0; i < PIXELS; ++i) {
            const int32_t its = pixel + i < p->out_height * p->out_width ? pixel + i : pixel;
            const int32_t oy = its / p->out_width, ox = its - oy * p->out_width;
            from[i] = row_of(p, input, oy * p->stride_height - p->pad_top + fy, ox * p->stride_width - p->pad_left,
                             bytes + i * n);
#ifdef QE_CONV_2D_REST
            if (rest != 0) {
                gather(p, rests + i * rest + fy, from[i], 1);
            }
#endif
        }
        if (n >= 4) {
            expand(p, columns, from[0], from[1], from[2], n / 4, 1, 0);
            columns += n / 4 * 2 * PIXELS;
        }
    }
#ifdef QE_CONV_2D_REST
    if (rest != 0) {
        expand_rest(p, (uint32_t *)scratch, rests);
    }
#endif
}

/* Write the columns of windows from that of a pixel on. */
static QE_DSP_APART void expand_windows(const qe_conv_2d_dsp_params *p, const int8_t *input, void *scratch, int32_t pixel)
{
    const int32_t oy = pixel / p->out_width, ox = pixel - oy * p->out_width;
    const int32_t y = oy * p->stride_height - p->pad_top, x = ox * p->stride_width - p->pad_left;
    const int32_t last = x + (PIXELS - 1) * p->stride_width + p->filter_width;
    if (ox + PIXELS > p->out_width || x < 0 || last > p->in_width || y < 0 || y + p->filter_height > p->in_height) {
        expand_outside(p, input, scratch, pixel);
        return;
    }
    const int32_t channels = p->in_channels, n = p->filter_width * channels;
    const int32_t step = p->stride_width * channels;
    const int8_t *from = input + (y * p->in_width + x) * channels;
    if (n >= 4) {
        expand(p, (uint32_t *)scratch, from, from + step, from + 2 * step, n / 4, p->filter_height,
               p->in_width * channels);
    }
#ifdef QE_CONV_2D_REST
    if ((n & 3) != 0) {
        int8_t *rests = (int8_t *)scratch + 2 * (uint32_t)PIXELS * p->depth;
        QE_ROLLED
        for (int32_t i = 0; i < PIXELS; ++i) {
            gather(p, rests + i * rest_of(p), from, p->filter_height);
            from += step;
        }
        expand_rest(p, (uint32_t *)scratch, rests);
    }
#endif
}

/* The inner products, by the function that a model needs: each is there only where some layer does. */
static inline void dot(const qe_conv_2d_dsp_params *p, const uint32_t *columns, int8_t *output, int32_t pixels_left)
{
#if THREES
    if (PIXELS == 3) {
#ifdef QE_DOT_3X2_PLAIN
#ifdef QE_DOT_3X2_SIGNED
        if (p->low < p->output_zero_point) {
            qe_dot_3x2_signed_dsp(p, columns, output, pixels_left);
            return;
        }
#endif
        qe_dot_3x2_dsp(p, columns, output, pixels_left);
#else
        qe_dot_3x2_signed_dsp(p, columns, output, pixels_left);
#endif
    }
#endif
#if TWOS
    if (PIXELS == 2) {
#ifdef QE_DOT_2X2_PLAIN
#ifdef QE_DOT_2X2_SIGNED
        if (p->low < p->output_zero_point) {
            qe_dot_2x2_signed_dsp(p, columns, output, pixels_left);
            return;
        }
#endif
        qe_dot_2x2_dsp(p, columns, output, pixels_left);
#else
        qe_dot_2x2_signed_dsp(p, columns, output, pixels_left);
#endif
    }
#endif
}

/* Make the outputs of the pixels whose columns are there. */
static void finish(const qe_conv_2d_dsp_params *p, const void *columns, int8_t *output, int32_t pixels_left)
{
    dot(p, (const uint32_t *)columns, output, pixels_left);
#ifdef QE_DSP_CLAMP
    const int8_t *end = output + (pixels_left < PIXELS ? pixels_left : PIXELS) * p->out_channels;
    for (; output < end; ++output) {
        *output = qe_clamp_s8(*output, p->low, p->high);
    }
#endif
}

void qe_conv_2d_s8_dsp(const qe_conv_2d_dsp_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    const int32_t pixels = p->out_height * p->out_width;
    for (int32_t pixel = 0; pixel < pixels; pixel += PIXELS) {
        expand_windows(p, input, scratch, pixel);
        finish(p, scratch, output, pixels - pixel);
        output += PIXELS * p->out_channels;
    }
}

/* Write the columns of some pixels; of those that are not there, the first one's. */
static QE_DSP_APART void expand_pixels(const qe_conv_2d_dsp_params *p, const int8_t *input, void *scratch,
                                       int32_t pixels_left)
{
    const int32_t channels = p->in_channels;
    const int8_t *second = pixels_left > 1 ? input + channels : input;
    const int8_t *third = pixels_left > 2 ? second + channels : input;
    if (channels >= 4) {
        expand(p, (uint32_t *)scratch, input, second, third, channels / 4, 1, 0);
    }
#ifdef QE_CONV_2D_REST
    const int32_t rest = channels & 3;
    if (rest != 0) {
        int8_t last[12];
        memset(last, 0, sizeof last);
        QE_ROLLED
        for (int32_t k = 0; k < rest; ++k) {
            last[k] = input[channels - rest + k];
            last[4 + k] = second[channels - rest + k];
            last[8 + k] = third[channels - rest + k];
        }
        expand(p, (uint32_t *)scratch + channels / 4 * 2 * PIXELS, last, last + 4, last + 8, 1, 1, 0);
    }
#endif
}

void qe_conv_2d_1x1_s8_dsp(const qe_conv_2d_dsp_params *p, const int8_t *input, int8_t *output, void *scratch)
{
    for (int32_t left = p->out_height * p->out_width; left > 0; left -= PIXELS) {
        expand_pixels(p, input, scratch, left);
        finish(p, scratch, output, left);
        input += PIXELS * p->in_channels;
        output += PIXELS * p->out_channels;
    }
}
