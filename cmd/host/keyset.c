#include "cmd/host/keyset.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

q_rc q_keyset_from_file(const char *path, q_buf *out, q_err *err)
{
    char bytes[16384];
    FILE *f = fopen(path, "rb");
    if (!f)
        return q_err_set(err, Q_E_INTERNAL, "%.200s can't be read: %s", path, strerror(errno));
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, f)) > 0;)
        q_buf_add(out, bytes, n);
    bool ok = !ferror(f) && !out->failed;
    fclose(f);
    return ok ? Q_OK : q_err_set(err, Q_E_INTERNAL, "%.200s can't be read, or is longer than a key set may be", path);
}

/* Parsed by the one who will fetch it, so that both mean the same host. */
bool q_keyset_url_allowed(const char *url)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL;
    bool ok = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    bool local = ok && (!strcmp(host, "127.0.0.1") || !strcmp(host, "[::1]") || !strcmp(host, "localhost"));
    ok = ok && (!strcmp(scheme, "https") || (!strcmp(scheme, "http") && local));
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return ok;
}

static size_t take(char *bytes, size_t size, size_t count, void *out)
{
    q_buf_add(out, bytes, size * count);
    return ((q_buf *)out)->failed ? 0 : size * count;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void init(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

q_rc q_keyset_from_url(const char *url, q_buf *out, q_err *err)
{
    char why[CURL_ERROR_SIZE] = "";
    long status = 0;
    pthread_once(&once, init);
    CURL *c = curl_easy_init();
    if (!c)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 10000L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, out);
    CURLcode rc = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(c);
    if (rc != CURLE_OK)
        return q_err_set(err, Q_E_INTERNAL, "auth.jwks_url: %s", why[0] ? why : curl_easy_strerror(rc));
    return status == 200 ? Q_OK : q_err_set(err, Q_E_INTERNAL, "auth.jwks_url answered %ld", status);
}
