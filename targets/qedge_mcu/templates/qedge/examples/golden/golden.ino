// Runs the golden vectors of @name@, real samples, and prints what they are taken for, whether every byte is right
// and the time of one run.
#include <@name@.h>
#include "golden.h"

static @name@_context context;
#if defined(@NAME@_EXTERNAL_ARENA)
static uint64_t arena[(@NAME@_ARENA_BYTES + 7) / 8]; /* which other models may use by turns */
#endif

void setup()
{
    Serial.begin(115200);
    while (!Serial && millis() < 3000) {
    }
#if defined(@NAME@_EXTERNAL_ARENA)
    @name@_set_arena(&context, arena);
#endif
    @name@_init(&context);
}

void loop()
{
    int different = 0;
    const unsigned long start = micros();
    for (int k = 0; k < GOLDEN_SAMPLES; ++k) {
        different += golden_run(&context, k) != 0;
    }
    const unsigned long each = (micros() - start) / GOLDEN_SAMPLES;
    Serial.print(GOLDEN_SAMPLES - different);
    Serial.print(" of ");
    Serial.print(GOLDEN_SAMPLES);
    Serial.print(" golden samples are bit-exact, ");
    Serial.print(each);
    Serial.println(" us a run");
@golden_said_ino@    delay(2000);
}
