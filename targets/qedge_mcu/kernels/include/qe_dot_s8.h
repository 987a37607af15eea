#ifndef QE_DOT_S8_H
#define QE_DOT_S8_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

/* Weights for the functions below, by outputs of n inputs each: as many groups of four outputs as there are,
 * each [n][4], then the outputs that are left over, each [n]. */

/* Add to sums[0..3] the products of n inputs, each plus offset, with one group of four outputs. */
void qe_dot_4_s8(int32_t *sums, const int8_t *x, const int8_t *weights, int32_t n, int32_t offset);

/* Add to sums[0] the products with one output that is left over. */
void qe_dot_1_s8(int32_t *sums, const int8_t *x, const int8_t *weights, int32_t n, int32_t offset);

QE_EXTERN_C_END

#endif
