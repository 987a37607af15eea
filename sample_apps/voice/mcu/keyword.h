/* Keywords from a stream of sound: PCM in, label out. The decisions are those of ../spotter.py. */
#ifndef KEYWORD_H
#define KEYWORD_H

#include "digits.h"
#include "digits_frontend.h"

#define KEYWORD_LABELS DIGITS_OUTPUT_ELEMENTS
#define KEYWORD_STEP (DIGITS_FRONTEND_SAMPLE_RATE * 60 / 1000) /* samples between two runs of the model */
#define KEYWORD_FULL_RUNS 17         /* until the model's window is full of sound */
#define KEYWORD_SMOOTH 4             /* runs whose scores are averaged */
#define KEYWORD_THRESHOLD_PERCENT 40 /* of all keywords together, at which one was said */
#define KEYWORD_SETTLE_RUNS 2        /* from then on until it is decided which one */
#define KEYWORD_DECIDE_RUNS 3        /* last runs that decide it; at most KEYWORD_SMOOTH */
#define KEYWORD_RELEASE_PERCENT 20   /* under which nothing is being said */
#define KEYWORD_PATIENCE_RUNS 6      /* what takes longer from there to the threshold is not reported */
#define KEYWORD_REFRACTORY_RUNS 16   /* no report for so many runs after a report */
#define KEYWORD_COUNT 10             /* the first labels are keywords, the others are not */

typedef struct {
    digits_context model;
    digits_frontend sound;
    uint8_t history[KEYWORD_SMOOTH][KEYWORD_LABELS];
    uint32_t runs;
    uint32_t quiet_run;    /* the last one in which nothing was being said */
    uint32_t due_run;      /* the one that decides on the word that is being said; 0: none is */
    uint32_t reported_run; /* of the last report; 0: none yet */
} keyword_spotter;

/* Start listening. Returns 0, or the model's error. */
int keyword_init(keyword_spotter *spotter);

/* Take KEYWORD_STEP samples. Returns the label that they complete, or -1. */
int keyword_push(keyword_spotter *spotter, const int16_t *pcm);

/* The names of the labels, in the order of the model's scores. */
extern const char *const keyword_names[KEYWORD_LABELS];

#endif
