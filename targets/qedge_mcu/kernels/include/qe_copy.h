#ifndef QE_COPY_H
#define QE_COPY_H

#include "qe_walk.h"

QE_EXTERN_C_BEGIN

typedef struct {
    const int32_t *steps; /* walk over (input, output) in bytes, see qe_walk.h */
    int32_t in_start;     /* first byte read */
    int32_t out_start;    /* first byte written */
    int32_t run;          /* bytes that lie together in both */
    uint8_t rank;
} qe_copy_params;

/* Copy a block of up to seven dimensions between two layouts: TRANSPOSE, SLICE, SPACE_TO_DEPTH ... */
void qe_copy(const qe_copy_params *p, const void *input, void *output);

#ifdef QE_PAD
/* Fill the output's `bytes` with a value, then copy the input into its place. */
void qe_pad(const qe_copy_params *p, const void *input, void *output, int32_t bytes, int8_t value);
#endif

#ifdef QE_PAD_ITEMS
/* The same for items of several bytes: `value` is the first `item` bytes of a little-endian number. */
void qe_pad_items(const qe_copy_params *p, const void *input, void *output, int32_t bytes, uint32_t value,
                  int32_t item);
#endif

QE_EXTERN_C_END

#endif
