/* Runs the golden vectors, real samples, and returns how many differ: 0 is right. */
#include <string.h>

#include "@name@.h"
#include "golden.h"

#include "../qe_board.h"

static @name@_context context;
#if defined(@NAME@_EXTERNAL_ARENA)
static uint64_t arena[(@NAME@_ARENA_BYTES + 7) / 8]; /* which other models may use by turns */
#endif

static int qe_program(void)
{
    int different = 0;
#if defined(@NAME@_EXTERNAL_ARENA)
    @name@_set_arena(&context, arena);
#endif
    if (@name@_init(&context) != @NAME@_OK) {
        return -1;
    }
    for (int k = 0; k < GOLDEN_SAMPLES; ++k) {
        if (golden_run(&context, k) != 0) {
            SAY("sample %d differs\n", k);
            ++different;
        }
@golden_said@    }
    SAY("@name@: %d of %d golden samples are bit-exact\n", GOLDEN_SAMPLES - different, GOLDEN_SAMPLES);
    return different;
}
