/* words.h - what things are called in messages, and what a misspelling meant. Internal to quantaql. Pure. */
#ifndef Q_QUANTAQL_WORDS_H
#define Q_QUANTAQL_WORDS_H

#include "base/slice.h"

const char *q_word_token(int token);       /* how a person would call it: "FROM", "a name" */
bool q_word_is_keyword_token(int token);
bool q_word_is_reserved(q_slice name);     /* must be written in backticks as a name of its own */
/* The closest of `count` words (within two edits, fewer for short ones), without regard to case; NULL when none is near. */
const char *q_word_nearest(q_slice name, const char *const *words, size_t count);
unsigned q_word_distance(q_slice a, q_slice b, unsigned max); /* optimal string alignment, case-insensitive; max + 1 when further */
/* Makes a message a sentence: a full stop, and a capital where it begins with a word of ours (as `fmt` shows) and not of the user's. */
void q_word_sentence(char *message, size_t size, const char *fmt);

#endif
