/* jsonpack.h - jansson's values as msgpack. Pure.
 *
 * For requests (parameters that are documents) and for answers to clients that speak msgpack. Deeper than Q_JSONPACK_MAX_DEPTH is refused. */
#ifndef Q_COORDINATOR_JSONPACK_H
#define Q_COORDINATOR_JSONPACK_H

#include <jansson.h>

#include "base/buf.h"

enum { Q_JSONPACK_MAX_DEPTH = 200 };

/* false: too deep, or the buffer is full. */
bool q_json_pack(const json_t *value, q_buf *out);

#endif
