/* What microphone.c needs of a board that has one: an ADC at 16 kHz that a DMA channel writes into a ring. */
#ifndef MICROPHONE_H
#define MICROPHONE_H

#include <stddef.h>
#include <stdint.h>

#define MICROPHONE_RING 2048u /* samples, 128 ms: longer than one run of the model */

/* Start converting into the ring of MICROPHONE_RING samples of 12 bits, for ever. */
void microphone_start(uint16_t *ring);

/* The place in the ring that is written next. */
size_t microphone_position(void);

#endif
