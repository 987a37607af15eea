/* Keywords from a stream of sound: PCM in, label out. The decisions are those of ../spotter.py. */
#ifndef KEYWORD_H
#define KEYWORD_H

#include "digits.h"
#include "digits_frontend.h"

#define KEYWORD_LABELS DIGITS_OUTPUT_ELEMENTS
#define KEYWORD_STEP (DIGITS_FRONTEND_SAMPLE_RATE * 60 / 1000) /* samples between two runs of the model */
#define KEYWORD_SMOOTH 4                                         /* runs whose scores are averaged */
#define KEYWORD_THRESHOLD_PERCENT 35                             /* at which a word is reported */
#define KEYWORD_RELEASE_PERCENT 20 /* under which it must fall before it is reported again */
#define KEYWORD_REFRACTORY_RUNS 16 /* no report for so many runs after a report */
#define KEYWORD_COUNT 10           /* the first labels are keywords, the others are not */

typedef struct {
    digits_context model;
    digits_frontend sound;
    uint8_t history[KEYWORD_SMOOTH][KEYWORD_LABELS];
    uint32_t runs;
    uint32_t last_run; /* of the last report; 0: none yet */
    int last;          /* label that was reported and has not faded; -1: none */
} keyword_spotter;

/* Start listening. Returns 0, or the model's error. */
int keyword_init(keyword_spotter *spotter);

/* Take KEYWORD_STEP samples. Returns the label that they complete, or -1. */
int keyword_push(keyword_spotter *spotter, const int16_t *pcm);

/* The names of the labels, in the order of the model's scores. */
extern const char *const keyword_names[KEYWORD_LABELS];

#endif
