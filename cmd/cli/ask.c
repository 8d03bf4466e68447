#include "cmd/cli/ask.h"

#include <curl/curl.h>
#include <stdio.h>

static size_t take(char *data, size_t size, size_t count, void *ctx)
{
    q_buf *body = ctx;
    q_buf_add(body, data, size * count);
    return body->failed ? 0 : size * count;
}

q_rc q_ask(const char *host_port, const char *path, q_buf *body, q_err *err)
{
    char url[512], text[CURL_ERROR_SIZE] = "";
    if (snprintf(url, sizeof url, "http://%s%s", host_port, path) >= (int)sizeof url)
        return q_err_set(err, Q_E_INTERNAL, "the address is too long");
    CURL *curl = curl_easy_init();
    if (!curl)
        return q_err_set(err, Q_E_LIMIT_MEMORY, "out of memory");
    long status = 0;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 3000L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 15000L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
    CURLcode rc = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    if (rc != CURLE_OK) {
        q_err_set(err, Q_E_INTERNAL, "%s: %s", host_port, text[0] ? text : curl_easy_strerror(rc));
        q_err_hint(err, "is the system running? --http HOST:PORT says where");
        return Q_RETRY;
    }
    return status == 200 ? Q_OK : q_err_set(err, Q_E_INTERNAL, "%s answered %ld to %s", host_port, status, path);
}
