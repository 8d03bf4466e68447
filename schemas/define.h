/* define.h - what a CREATE or ALTER makes of a record: its attributes, checked and completed. Between the files of this folder. Pure. */
#ifndef Q_SCHEMAS_DEFINE_H
#define Q_SCHEMAS_DEFINE_H

#include "schemas/catalog.h"

typedef struct q_definition {
    uint32_t count;
    q_attr attrs[Q_MAX_ATTRIBUTES]; /* `id` first; slices borrow from the DDL and from `base` */
} q_definition;

/* `base`: the record that ALTER adds to; NULL for CREATE. Q_END: every attribute that ALTER … IF NOT EXISTS names is there. */
Q_CHECK q_rc q_define(const q_ddl *ddl, const q_record *base, q_definition *out, q_err *err);

#endif
