/* Samples of an analogue microphone amplifier (MAX4466, MAX9814 or alike): 12 bits around half the supply. */
#include "microphone.h"

#include "../board.h"

/* The RP2350's DMA wraps at addresses that the ring's size divides. */
static volatile uint16_t ring[MICROPHONE_RING] __attribute__((aligned(2 * MICROPHONE_RING)));
static size_t taken;
static int started;

/* The amplifier's bias, in 1/4096 of a step: slow enough to follow it, fast enough to settle in a second. */
static int32_t bias_q12 = 2048 << 12;

static int16_t centred(int32_t raw)
{
    bias_q12 += raw - (bias_q12 >> 12);
    const int32_t value = (raw - (bias_q12 >> 12)) * 16;
    return (int16_t)(value < -32768 ? -32768 : value > 32767 ? 32767 : value);
}

int board_record(int16_t *pcm, size_t count)
{
    if (!started) {
        started = 1;
        microphone_start((uint16_t *)ring);
    }
    for (size_t i = 0; i < count; ++i) {
        while (taken == microphone_position()) {
        }
        pcm[i] = centred(ring[taken]);
        taken = (taken + 1) % MICROPHONE_RING;
    }
    return 1;
}
