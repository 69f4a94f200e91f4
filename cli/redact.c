#include "cli/redact.h"

#include <string.h>

#include "base/json.h"

static const char *const words[] = { "password",      "passwd",     "secret",      "token",
                                     "authorization", "bearer",     "apikey",      "api_key",
                                     "api-key",       "credential", "private-key", "private_key" };

static char small(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool begins_with(const char *text, const char *word)
{
        for (; *word; word++, text++)
                if (small(*text) != *word)
                        return false;
        return true;
}

static bool sounds_secret(const char *key)
{
        for (const char *p = key; *p; p++)
                for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                        if (begins_with(p, words[i]))
                                return true;
        return false;
}

/* ---- trees ---- */

static void redact_values(json_t *object)
{
        const char *key;
        json_t *value;
        void *next;

        json_object_foreach_safe (object, next, key, value)
                json_object_set_new(object, key, json_string(REDACTED));
}

/* Names of Secrets and of their keys are no secrets: only texts that stand for a value are. */
static bool is_name(const char *key)
{
        static const char *const names[] = { "secretName",
                                             "secretKeyRef",
                                             "secretRef",
                                             "secret",
                                             "imagePullSecrets",
                                             "serviceAccountToken",
                                             "automountServiceAccountToken",
                                             "tokenExpirationSeconds" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (streq(names[i], key))
                        return true;
        return false;
}

static void redact_member(json_t *object, const char *key, json_t *value)
{
        if ((streq(key, "annotations") || streq(key, "data") || streq(key, "stringData") ||
             streq(key, "binaryData")) &&
            json_is_object(value))
                redact_values(value);
        else if (json_is_string(value) && !is_name(key) && sounds_secret(key))
                json_object_set_new(object, key, json_string(REDACTED));
        else
                redact_tree(value);
}

static void redact_environment(json_t *list)
{
        json_t *e;
        size_t i;

        json_array_foreach (list, i, e)
                if (json_is_string(json_object_get(e, "value")))
                        json_object_set_new(e, "value", json_string(REDACTED));
}

void redact_tree(json_t *root)
{
        const char *key;
        json_t *value;
        void *next;
        size_t i;

        if (json_is_array(root))
                json_array_foreach (root, i, value)
                        redact_tree(value);
        if (!json_is_object(root))
                return;
        json_object_foreach_safe (root, next, key, value) {
                if (streq(key, "env"))
                        redact_environment(value);
                redact_member(root, key, value);
        }
}

/* ---- text ---- */

/* Length of what stands behind a telling word: separators, and the value up to a blank or quote;
 * 0: no value. *ret_value: where the value begins. */
static size_t value_length(const char *p, size_t *ret_value)
{
        size_t at = strspn(p, "\"'"), n;

        if (p[at] != '=' && p[at] != ':' && p[at] != ' ')
                return 0;
        at += strspn(p + at, "=: \"'");
        if (begins_with(p + at, "bearer ") || begins_with(p + at, "basic "))
                at += strcspn(p + at, " ") + 1;
        n = strcspn(p + at, " \t\n\"',;&}");
        *ret_value = at;
        return n >= 6 ? at + n : 0; /* "token is", "secret not found" are words, not values */
}

char *redact_text(const char *text)
{
        static const char begin[] = "-----BEGIN ", end[] = "-----END ";
        struct strbuf b = { 0 };

        for (const char *p = text; *p;) {
                size_t n = 0, value = 0, word = 0;

                if (startswith(p, begin)) {
                        const char *stop = strstr(p, end);

                        strbuf_add(&b, REDACTED);
                        p = stop ? stop + strcspn(stop, "\n") : p + strlen(p);
                        continue;
                }
                for (size_t i = 0; i < ARRAY_SIZE(words) && n == 0; i++)
                        if (begins_with(p, words[i])) {
                                word = strlen(words[i]);
                                n = value_length(p + word, &value);
                        }
                if (n > 0) {
                        strbuf_add_n(&b, p, word + value);
                        strbuf_add(&b, REDACTED);
                        p += word + n;
                } else {
                        strbuf_add_n(&b, p++, 1);
                }
        }
        return strbuf_take(&b);
}
