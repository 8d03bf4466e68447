/* openapi.h - the description of the HTTP interface: gateway/openapi.json, which is the truth, as it is in the program. */
#ifndef Q_GATEWAY_OPENAPI_H
#define Q_GATEWAY_OPENAPI_H

#include "base/slice.h"

q_slice q_openapi(void); /* JSON; static */

#endif
