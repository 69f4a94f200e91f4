/* $(VAR) expansion and environment files, which share nothing but that tenants write both. */
#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "kubelet/env-file.h"
#include "kubelet/expand.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char *nothing(const char *name, void *userdata)
{
        (void)name;
        (void)userdata;
        return NULL;
}

static const char *itself(const char *name, void *userdata)
{
        assert(!strchr(name, ')'));
        return userdata;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        _cleanup_free_ char *text = strndup((const char *)bytes, n), *a = NULL, *b = NULL,
                            *value = NULL;

        if (!text)
                return 0;
        if (expand(text, nothing, NULL, &a) == 0) {
                assert(strlen(a) <= strlen(text)); /* only "$$" changes, and shrinks */
                assert(strstr(text, "$$") || streq(a, text));
        }
        if (expand(text, itself, text, &b) == 0)
                assert(strlen(b) <= EXPAND_MAX);
        if (env_file_get(text, "KEY", &value, NULL) == 0)
                assert(!strchr(value, '\''));
        return 0;
}
