/* doctree.h - documents as trees of msgpack-c objects, between the files of this folder only. Pure. */
#ifndef Q_SCHEMAS_DOCTREE_H
#define Q_SCHEMAS_DOCTREE_H

#include "schemas/document.h"
#include "schemas/mp.h"

q_rc q_doc_no_memory(q_err *err);
/* Types, texts, unique keys and depth of a tree. */
Q_CHECK q_rc q_doc_check_tree(q_mp_space *space, const msgpack_object *root, q_err *err);
bool q_doc_equal_trees(q_mp_space *space, const msgpack_object *a, const msgpack_object *b);
/* The bytes of a tree in `arena`; Q_E_DOCUMENT_LIMIT when they are too many, Q_E_QQL_VALUE when it holds what documents don't. */
Q_CHECK q_rc q_doc_tree_bytes(q_arena *arena, const msgpack_object *root, q_slice *out, q_err *err);
/* What stands one step further; NULL when nothing does. */
msgpack_object *q_doc_find(const msgpack_object *o, const q_step *step);

#endif
