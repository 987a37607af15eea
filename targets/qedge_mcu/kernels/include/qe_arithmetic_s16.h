#ifndef QE_ARITHMETIC_S16_H
#define QE_ARITHMETIC_S16_H

#include "qe_walk.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int32_t *steps; /* walk over the rows of (a, b), see qe_walk.h */
    int32_t row;          /* values in a row */
    uint8_t rank;
    uint8_t step_a, step_b; /* 0 where an operand repeats along the row, else 1 */
    int32_t multiplier_a, multiplier_b, out_multiplier;
    int32_t offset_a, offset_b; /* minus the zero points */
    int32_t output_zero_point;
    int32_t low, high;          /* clamp of the output */
    int8_t shift_a, shift_b, out_shift;
} qe_arithmetic_s16_params;

/* Operators of two int16 tensors that broadcast; the output may be an input of the same size. MUL and PRELU: a shift
 * and a multiplier of b's side are not used; PRELU's b are int8 slopes, b's multiplier is for negative values. */
void qe_add_s16(const qe_arithmetic_s16_params *p, const int16_t *a, const int16_t *b, int16_t *output);
void qe_sub_s16(const qe_arithmetic_s16_params *p, const int16_t *a, const int16_t *b, int16_t *output);
void qe_mul_s16(const qe_arithmetic_s16_params *p, const int16_t *a, const int16_t *b, int16_t *output);
void qe_squared_difference_s16(const qe_arithmetic_s16_params *p, const int16_t *a, const int16_t *b, int16_t *output);
void qe_prelu_s16(const qe_arithmetic_s16_params *p, const int16_t *a, const int8_t *b, int16_t *output);
void qe_maximum_s16(const qe_arithmetic_s16_params *p, const int16_t *a, const int16_t *b, int16_t *output);
void qe_minimum_s16(const qe_arithmetic_s16_params *p, const int16_t *a, const int16_t *b, int16_t *output);

QE_EXTERN_C_END

#endif
