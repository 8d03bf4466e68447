/* version.h - the one place that says which version this is: programs print it, the log keeps who wrote it. */
#ifndef Q_BASE_VERSION_H
#define Q_BASE_VERSION_H

#define Q_VERSION "0.1.0"

#endif
