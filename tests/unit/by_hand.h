/* by_hand.h - a model that gets its records by hand: a training run of numbered blocks, for the
 * tests of the model. Sizes are odd and each its own, so that a row is known by its bytes. */
#ifndef TIDEMARK_TESTS_BY_HAND_H
#define TIDEMARK_TESTS_BY_HAND_H

#include "model.h"

extern struct tmk_model *model;
extern struct tmk_store *store;
extern uint64_t total, next_seq;
extern uint32_t module, stack; /* of the events that follow */
extern int64_t requested;      /* ... what their tensors need; 0: their bytes */

void begin(void);
void end(void);
void close_all(void);
void at(enum tmk_boundary boundary);
void event(enum tmk_kind kind, uint64_t ptr, int64_t bytes, int phase, int flags);
void in_frame(uint32_t id, const char *function, const char *file);
void take(uint64_t ptr, int64_t bytes, int phase);
void take_without_gradients(uint64_t ptr, int64_t bytes);
void give(uint64_t ptr, int64_t bytes);
void point(enum tmk_pointer_code code, uint64_t ptr);
int64_t number(const char *sql);
const char *text(const char *sql);
const char *phase_of(int64_t bytes);
const char *bucket_of(int64_t bytes);
void setup(void);
void train_step(uint64_t shift);

#endif
