#ifndef QE_MATRIX_S8_MVE_H
#define QE_MATRIX_S8_MVE_H

#include "qe_mve.h"

QE_EXTERN_C_BEGIN

/* Weights and requantisation of a layer that is a matrix product: FULLY_CONNECTED, or CONV_2D by columns.
 *
 * The stream has a record for every four outputs, then one for each output that is left over:
 *   four: bias[4]; for every 16 inputs of the first part: 16 weights of each output; the weights of the rest of the
 *     inputs of each output; multiplier[4]; shift[4] in bytes
 *   one: bias, multiplier, shift, the weights, filled up to a multiple of four bytes
 * Of 16 outputs the first record has 0, 4, 8, 12, the next ones start at 2, at 1 and at 3: narrowing interleaves
 * them. Shifts are negative or 0, which is to the right; the input's zero point is folded into the biases. */
typedef struct {
    const void *stream;
    uint32_t rows;             /* pixels or batches */
    uint16_t depth;            /* inputs */
    uint16_t part;             /* inputs by 16: depth (the last weights filled up to 16 with 0), or less by the rest */
    uint16_t outputs;
    int8_t output_zero_point;
    int8_t low, high;          /* clamp of the output; used where QE_MVE_CLAMP is defined */
} qe_matrix_params;

/* input [rows][depth], output [rows][outputs]. A row of output is written after its row of input was read. */
void qe_matrix_s8_mve(const qe_matrix_params *p, const int8_t *input, int8_t *output);

/* Some rows of a product, for a kernel that makes them one by one; the assembler counts on the order. */
typedef struct {
    const void *stream;
    const int8_t *input;
    int8_t *output;
    uint32_t part, rest;      /* inputs by 16, and those after them */
    uint32_t sixteens, fours; /* outputs in groups of 16, then in groups of 4 */
    uint32_t rows;            /* at least 1 */
    int32_t zero_point, low, high;
    uint32_t left;            /* outputs after those: 0 to 3; QE_MVE_ODD says that some layer has such */
} qe_matrix_call;

/* Fill in everything but rows, input and output. */
void qe_matrix_prepare_mve(qe_matrix_call *call, const void *stream, uint32_t depth, uint32_t part, uint32_t outputs);

/* Make the rows; rows, input and output are lost. */
void qe_matrix_rows_mve(qe_matrix_call *call);

QE_EXTERN_C_END

#endif
