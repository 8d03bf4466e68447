#include "wal/check.h"
q_rc q_wal_check_at_open(const char *dir, int lock_fd, q_err *err) { (void)dir; (void)lock_fd; (void)err; return Q_OK; }
