#include "gateway/openapi.h"

/* The assembler puts the file's bytes here; tests/gateway/gateway.mk says that this object depends on it. */
__asm__(".section .rodata\n"
        ".global q_openapi_start\n"
        ".global q_openapi_end\n"
        "q_openapi_start:\n"
        ".incbin \"gateway/openapi.json\"\n"
        "q_openapi_end:\n"
        ".byte 0\n"
        ".text\n");

extern const char q_openapi_start[], q_openapi_end[];

q_slice q_openapi(void) { return (q_slice){ q_openapi_start, (size_t)(q_openapi_end - q_openapi_start) }; }
