#include "cmd/cli/ask.h"

#include <curl/curl.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

static size_t take(char *data, size_t size, size_t count, void *ctx)
{
    q_buf *body = ctx;
    q_buf_add(body, data, size * count);
    return body->failed ? 0 : size * count;
}

/* {"error", "hint"}, when that is what it answered. */
static bool told_why(const q_buf *body, q_err *err)
{
    json_error_t e;
    json_t *o = body->len ? json_loadb(body->ptr, body->len, 0, &e) : NULL;
    const char *why = json_string_value(json_object_get(o, "error")), *hint = json_string_value(json_object_get(o, "hint"));
    if (why)
        q_err_set(err, Q_E_INTERNAL, "%s", why);
    if (why && hint)
        q_err_hint(err, "%s", hint);
    json_decref(o);
    return why != NULL;
}

static q_rc ask(const char *host_port, const char *path, const char *who, q_buf *body, q_err *err)
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
    char header[300];
    struct curl_slist *headers = NULL;
    if (who) {
        snprintf(header, sizeof header, "quanta-operator: %s", who);
        headers = curl_slist_append(NULL, header);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    }
    CURLcode rc = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    if (rc != CURLE_OK) {
        q_err_set(err, Q_E_INTERNAL, "%s: %s", host_port, text[0] ? text : curl_easy_strerror(rc));
        q_err_hint(err, "is the system running? --http HOST:PORT says where");
        return Q_RETRY;
    }
    if (status == 200)
        return Q_OK;
    return told_why(body, err) ? Q_FAIL : q_err_set(err, Q_E_INTERNAL, "%s answered %ld to %s", host_port, status, path);
}

q_rc q_ask(const char *host_port, const char *path, q_buf *body, q_err *err) { return ask(host_port, path, NULL, body, err); }

q_rc q_ask_change(const char *host_port, const char *path, q_buf *body, q_err *err)
{
    const struct passwd *me = getpwuid(getuid());
    return ask(host_port, path, me && me->pw_name[0] ? me->pw_name : "somebody", body, err);
}
