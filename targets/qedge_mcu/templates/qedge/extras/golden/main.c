/* Runs the golden vectors and returns how many samples differ: 0 is right. -DQE_PRINT says so in words. */
#include <string.h>

#include "@name@.h"
#include "golden.h"

#ifdef QE_PRINT
#include <stdio.h>
#define SAY(...) printf(__VA_ARGS__)
#else
#define SAY(...) ((void)0)
#endif

static @name@_context context;

int main(void)
{
    int different = 0;
    if (@name@_init(&context) != @NAME@_OK) {
        return -1;
    }
    for (int k = 0; k < GOLDEN_SAMPLES; ++k) {
        if (golden_run(&context, k) != 0) {
            SAY("sample %d differs\n", k);
            ++different;
        }
    }
    SAY("@name@: %d of %d golden samples are bit-exact\n", GOLDEN_SAMPLES - different, GOLDEN_SAMPLES);
    return different;
}
