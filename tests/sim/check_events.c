#include "tests/sim/check.h"

void check_events(world *w) { (void)w; }
