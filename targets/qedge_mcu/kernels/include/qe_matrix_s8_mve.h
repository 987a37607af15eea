#ifndef QE_MATRIX_S8_MVE_H
#define QE_MATRIX_S8_MVE_H

#include "qe_mve.h"

QE_EXTERN_C_BEGIN

/* Weights and requantisation of a layer that is a matrix product: FULLY_CONNECTED, or CONV_2D by columns.
 *
 * The stream has a record for every four outputs, then one for those that are left over:
 *   four: bias[4]; for every 16 inputs of the first part: 16 weights of each output; the weights of the rest of the
 *     inputs of each output; multiplier[4]; shift[4] in bytes
 *   less: from the last output to the first its bias and its weights, filled up to a multiple of 16; multiplier[4];
 *     shift[4] in bytes. QE_MVE_ODD says that some layer has such outputs
 * Of 8 outputs the first record has 0, 2, 4, 6: narrowing interleaves them. Shifts are negative or 0, which is to the
 * right; the input's zero point is folded into the biases. The assembler counts on the order of the members. */
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

QE_EXTERN_C_END

#endif
