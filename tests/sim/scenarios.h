/* scenarios.h - the situations that design Part B names, each as a fixed script with an assertion that it really occurred. */
#ifndef Q_SIM_SCENARIOS_H
#define Q_SIM_SCENARIOS_H

#include <stdio.h>

int scenarios_list(void);
/* "all" or a name. 0: all held. */
int scenarios_run(const char *name, FILE *trace);

#endif
