/* scenarios.h - the situations that design Part B names, each as a fixed script with an assertion that it really occurred. */
#ifndef Q_SIM_SCENARIOS_H
#define Q_SIM_SCENARIOS_H

#include <stdint.h>
#include <stdio.h>

int scenarios_list(void);
/* "all" or a name. 0: all held. `sabotage`, `own_sabotage`: as in sim_options. */
int scenarios_run(const char *name, FILE *trace, uint32_t sabotage, uint32_t own_sabotage);

#endif
