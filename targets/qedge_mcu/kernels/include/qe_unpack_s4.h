#ifndef QE_UNPACK_S4_H
#define QE_UNPACK_S4_H

#include "qe_common.h"

QE_EXTERN_C_BEGIN

/* Lanes that a code may borrow within: bytes hold one code, halves two, the second one times 256. */
#define QE_UNPACK_BYTES 0x80808080u
#define QE_UNPACK_LANES 0x80008000u

/* to: groups * (2 * pairs + plain) words, as the kernels for weights of 8 bits read them. packed: of each group first
 * pairs words, whose low half bytes are the first word's codes and whose high ones the second's, each plus 8; then
 * plain words, which are copied. */
void qe_unpack_s4(void *to, const uint32_t *packed, uint32_t groups, uint32_t pairs, uint32_t plain, uint32_t guard);

QE_EXTERN_C_END

#endif
