#ifndef QE_UNIDIRECTIONAL_SEQUENCE_LSTM_S8_H
#define QE_UNIDIRECTIONAL_SEQUENCE_LSTM_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

/* Gates come in the order forget, input, cell, output; each has a side from the input and one from the hidden
 * state. Arguments of gates have 12 fractional bits, their results 15. */
typedef struct {
    const int8_t *weights;     /* [units][4 gates][inputs, then units] */
    const int32_t *bias;       /* [units][4 gates][2 sides], with the zero points folded in */
    const int32_t *multiplier; /* [4 gates][2 sides] */
    const uint16_t *sigmoid;   /* [256]: sigmoid(i / 24), 16 fractional bits */
    const int8_t *shift;       /* [4 gates][2 sides] */
    int32_t forget_multiplier, update_multiplier, output_multiplier;
    int8_t forget_shift, update_shift, output_shift;
    int8_t cell_shift;  /* the cell's scale is 2^(cell_shift - 12) */
    int16_t cell_clip;  /* largest size of the cell's value, when clips */
    uint8_t clips;
    uint16_t times, batches, inputs, units;
    uint16_t time_step, batch_step; /* rows of input and output from one time or batch to the next */
    int8_t hidden_zero_point;
} qe_unidirectional_sequence_lstm_params;

/* input [rows][inputs], output [rows][units]; hidden [batches][units] and cell [batches][units] are kept. */
void qe_unidirectional_sequence_lstm_s8(const qe_unidirectional_sequence_lstm_params *p, const int8_t *input,
                                        int8_t *hidden, int16_t *cell, int8_t *output);

QE_EXTERN_C_END

#endif
