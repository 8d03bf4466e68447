/* effects.h - how the core fills a q_effects. Internal to coordinator/; the list's public side is in core.h.
 *
 * What an effect points to is copied or encoded into the list's own memory, which is reused after q_effects_clear: a run of steps takes
 * no memory from the system once the list has seen the like. Out of memory turns the whole list into one FATAL: an effect
 * may never be lost silently. Single owner. */
#ifndef Q_COORDINATOR_EFFECTS_H
#define Q_COORDINATOR_EFFECTS_H

#include "coordinator/core.h"

/* A new effect, zeroed but for its kind; valid until the next call. Never NULL. */
q_effect *q_effects_add(q_effects *fx, q_effect_kind kind);
/* A copy that lives until the list is cleared. */
q_slice q_effects_copy(q_effects *fx, q_slice s);
/* An empty buffer that lives until the list is cleared, with a maximum of `max_bytes`: for encoding a message in place. */
q_buf *q_effects_buf(q_effects *fx, size_t max_bytes);
/* Says that something could not be encoded for want of memory. */
void q_effects_fail(q_effects *fx);

void q_effects_log(q_effects *fx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void q_effects_fatal(q_effects *fx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
