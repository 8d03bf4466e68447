/* The words of the language: what a token is called in a message, which names must be written in backticks, what a misspelling meant. */
#include "quantaql/parser.h"
#include "quantaql/grammar.h"

#include <ctype.h>
#include <limits.h>
#include <strings.h>

static const char *const token_words[] = {
    [Q_TK_ADMIN] = "ADMIN", [Q_TK_ALL] = "ALL", [Q_TK_EXPIRES] = "EXPIRES", [Q_TK_FOR] = "FOR", [Q_TK_GRANT] = "GRANT", [Q_TK_GRANTS] = "GRANTS",
    [Q_TK_HASH] = "HASH", [Q_TK_KEY] = "KEY", [Q_TK_KEYS] = "KEYS", [Q_TK_ON] = "ON", [Q_TK_REVOKE] = "REVOKE", [Q_TK_ROLE] = "ROLE", [Q_TK_ROLES] = "ROLES",
    [Q_TK_ADD] = "ADD", [Q_TK_ALTER] = "ALTER", [Q_TK_AND] = "AND", [Q_TK_AS] = "AS", [Q_TK_ASC] = "ASC", [Q_TK_ASSERT] = "ASSERT",
    [Q_TK_AT] = "AT", [Q_TK_BEGIN] = "BEGIN", [Q_TK_BETWEEN] = "BETWEEN", [Q_TK_BUCKET] = "BUCKET", [Q_TK_BUCKETS] = "BUCKETS",
    [Q_TK_BY] = "BY", [Q_TK_CASCADE] = "CASCADE", [Q_TK_COMMIT] = "COMMIT", [Q_TK_CREATE] = "CREATE", [Q_TK_DELETE] = "DELETE",
    [Q_TK_DESC] = "DESC", [Q_TK_DOCUMENT] = "DOCUMENT", [Q_TK_DROP] = "DROP", [Q_TK_EXISTS] = "EXISTS", [Q_TK_FALSE] = "FALSE",
    [Q_TK_FIRST] = "FIRST", [Q_TK_FROM] = "FROM", [Q_TK_GROUP] = "GROUP", [Q_TK_HAVING] = "HAVING", [Q_TK_IF] = "IF", [Q_TK_IN] = "IN",
    [Q_TK_INSERT] = "INSERT", [Q_TK_INTO] = "INTO", [Q_TK_IS] = "IS", [Q_TK_LAST] = "LAST", [Q_TK_LIKE] = "LIKE",
    [Q_TK_LIMIT] = "LIMIT", [Q_TK_MANY] = "MANY", [Q_TK_METRIC] = "METRIC", [Q_TK_NOT] = "NOT", [Q_TK_NULL] = "NULL",
    [Q_TK_NULLS] = "NULLS", [Q_TK_OFFSET] = "OFFSET", [Q_TK_ONE] = "ONE", [Q_TK_OR] = "OR", [Q_TK_ORDER] = "ORDER",
    [Q_TK_RECORD] = "RECORD", [Q_TK_RECORDS] = "RECORDS", [Q_TK_RELATION] = "RELATION", [Q_TK_REQUIRED] = "REQUIRED",
    [Q_TK_ROLLBACK] = "ROLLBACK", [Q_TK_SCALAR] = "SCALAR", [Q_TK_SELECT] = "SELECT", [Q_TK_SET] = "SET", [Q_TK_SHOW] = "SHOW",
    [Q_TK_TO] = "TO", [Q_TK_TRANSACTION] = "TRANSACTION", [Q_TK_TRUE] = "TRUE", [Q_TK_UNIQUE] = "UNIQUE", [Q_TK_UNIT] = "UNIT",
    [Q_TK_UPDATE] = "UPDATE", [Q_TK_USE] = "USE", [Q_TK_WHERE] = "WHERE",
};

static const char *const token_signs[] = {
    [0] = "the end of the text", [Q_TK_ID] = "a name", [Q_TK_STRING] = "a string", [Q_TK_INTEGER] = "a whole number",
    [Q_TK_FLOAT] = "a number", [Q_TK_PARAM] = "a parameter",
    [Q_TK_LP] = "\"(\"", [Q_TK_RP] = "\")\"", [Q_TK_LBRACE] = "\"{\"", [Q_TK_RBRACE] = "\"}\"", [Q_TK_LBRACKET] = "\"[\"",
    [Q_TK_RBRACKET] = "\"]\"", [Q_TK_COMMA] = "\",\"", [Q_TK_SEMI] = "\";\"", [Q_TK_COLON] = "\":\"", [Q_TK_DOT] = "\".\"",
    [Q_TK_ARROW] = "\"->\"", [Q_TK_EQ] = "\"=\"", [Q_TK_NE] = "\"<>\"", [Q_TK_LT] = "\"<\"", [Q_TK_LE] = "\"<=\"",
    [Q_TK_GT] = "\">\"", [Q_TK_GE] = "\">=\"", [Q_TK_PLUS] = "\"+\"", [Q_TK_MINUS] = "\"-\"", [Q_TK_STAR] = "\"*\"",
    [Q_TK_SLASH] = "\"/\"", [Q_TK_PERCENT] = "\"%\"", [Q_TK_ADD_TO] = "\"+=\"", [Q_TK_TAKE_FROM] = "\"-=\"",
    [Q_TK_NOT_IN] = "NOT IN", [Q_TK_NOT_LIKE] = "NOT LIKE", [Q_TK_NOT_BETWEEN] = "NOT BETWEEN",
};

/* The class `anyname` of grammar.y without ID; a test holds the two together. */
static const char *const reserved[] = { "ALTER", "AND", "AS", "BETWEEN", "CREATE", "DELETE", "DROP", "FALSE", "FROM", "HAVING", "IN",
    "INSERT", "INTO", "IS", "LIKE", "NOT", "NULL", "OR", "SELECT", "SET", "TRUE", "UPDATE", "WHERE" };

static const char *const keywords[] = { "ADD", "ADMIN", "ALL", "ALTER", "AND", "AS", "ASC", "ASSERT", "AT", "BEGIN", "BETWEEN",
    "BUCKET", "BUCKETS", "BY", "CASCADE", "COMMIT", "CREATE", "DELETE", "DESC", "DOCUMENT", "DROP", "EXISTS", "EXPIRES", "FALSE", "FIRST",
    "FOR", "FROM", "GRANT", "GRANTS", "GROUP", "HASH", "HAVING", "IF", "IN", "INSERT", "INTO", "IS", "KEY", "KEYS", "LAST", "LIKE",
    "LIMIT", "MANY", "METRIC", "NOT", "NULL", "NULLS", "OFFSET", "ON", "ONE", "OR", "ORDER", "RECORD", "RECORDS", "RELATION", "REQUIRED",
    "REVOKE", "ROLE", "ROLES", "ROLLBACK", "SCALAR", "SELECT", "SET", "SHOW", "TO", "TRANSACTION", "TRUE", "UNIQUE", "UNIT", "UPDATE",
    "USE", "WHERE", NULL };

enum { TOKEN_WORDS = sizeof token_words / sizeof token_words[0], TOKEN_SIGNS = sizeof token_signs / sizeof token_signs[0] };

const char *const *q_ql_keywords(void) { return keywords; }

bool q_word_is_keyword_token(int token) { return token > 0 && token < TOKEN_WORDS && token_words[token]; }

const char *q_word_token(int token)
{
    if (q_word_is_keyword_token(token))
        return token_words[token];
    if (token >= 0 && token < TOKEN_SIGNS && token_signs[token])
        return token_signs[token];
    return "something else";
}

bool q_word_is_reserved(q_slice name)
{
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (strlen(reserved[i]) == name.len && strncasecmp(reserved[i], name.ptr, name.len) == 0)
            return true;
    return false;
}

/* Damerau's distance without edits inside a transposition. Source: Boytsov, "Indexing methods for approximate dictionary searching",
 * ACM JEA 16, 2011, section 2.1. */
unsigned q_word_distance(q_slice a, q_slice b, unsigned max)
{
    enum { LONGEST = 64 };
    unsigned rows[3][LONGEST + 1];
    if (a.len > LONGEST || b.len > LONGEST || (a.len > b.len ? a.len - b.len : b.len - a.len) > max)
        return max + 1;
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a.len; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            int x = tolower((unsigned char)a.ptr[i - 1]), y = tolower((unsigned char)b.ptr[j - 1]);
            unsigned best = above[j - 1] + (x != y);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && x == tolower((unsigned char)b.ptr[j - 2]) && tolower((unsigned char)a.ptr[i - 2]) == y &&
                two_above[j - 2] + 1 < best)
                best = two_above[j - 2] + 1;
            row[j] = best;
        }
    }
    unsigned d = rows[a.len % 3][b.len];
    return d > max ? max + 1 : d;
}

const char *q_word_nearest(q_slice name, const char *const *words, size_t count)
{
    unsigned max = name.len <= 2 ? 0 : name.len <= 4 ? 1 : 2; /* two edits make anything out of a short word */
    const char *best = NULL;
    unsigned best_cost = UINT_MAX;
    for (size_t i = 0; i < count; i++) {
        unsigned d = q_word_distance(name, q_slice_cstr(words[i]), max);
        /* DSC is as near to ASC as to DESC, but people rarely get the first letter wrong. */
        bool first_letter = name.len > 0 && tolower((unsigned char)name.ptr[0]) == tolower((unsigned char)words[i][0]);
        unsigned cost = d > max ? UINT_MAX : 2 * d + !first_letter;
        if (cost < best_cost) {
            best = words[i];
            best_cost = cost;
        }
    }
    return best;
}

void q_word_sentence(char *message, size_t size, const char *fmt)
{
    size_t n = strlen(message);
    if (fmt[0] >= 'a' && fmt[0] <= 'z' && n > 0)
        message[0] = (char)toupper((unsigned char)message[0]);
    if (n > 0 && n + 1 < size && message[n - 1] != '.') {
        message[n] = '.';
        message[n + 1] = '\0';
    }
}
