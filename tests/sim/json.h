/* json.h - jansson for the checkers, without a malloc for every value: between begin and end all of its memory is taken from one block.
 *
 * A seed reads some 700 small texts; their values would be a tenth of its time. Single thread. */
#ifndef Q_SIM_JSON_H
#define Q_SIM_JSON_H

#include <jansson.h>

/* From here on jansson's memory is the block's. Not nested. */
void sim_json_begin(void);
/* What was read since begin is gone, without json_decref. */
void sim_json_end(void);

#endif
