/* The engines' one suite (tests/contract) on the simulated servers: a world without tasks, where calls run through. In memory nothing
 * survives the process, so the suite's crash cases are left out here; the simulator's seeds do nothing but crash. */
#include "tests/contract/contract.h"
#include "tests/sim/memengine.h"

static sim world;
static mem_server *servers[Q_EN_COUNT];

__attribute__((constructor)) static void begin(void)
{
    sim_init(&world, 1, NULL);
    for (int e = 0; e < Q_EN_COUNT; e++)
        servers[e] = mem_server_new(&world, (q_engine_id)e, 0);
    mem_connect(servers);
}

__attribute__((destructor)) static void end(void) { sim_fini(&world); }

const contract_case crash_cases[] = { { 0 } };

int crash_child(const q_engine_ops *ops, const q_engine_config *config, const char *bucket, const char *bucket_incarnation, const char *record_incarnation,
                const char *epoch, const char *seq)
{
    (void)ops, (void)config, (void)bucket, (void)bucket_incarnation, (void)record_incarnation, (void)epoch, (void)seq;
    return 2;
}
