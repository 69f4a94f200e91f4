/* A registries.yaml, and what it makes of three images; then the same bytes as a challenge. */
#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "base/yaml.h"
#include "runtime/registry-auth.h"
#include "runtime/registry-config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void plan(const struct registries *r, const char *image)
{
        _cleanup_image_ref_ struct image_ref ref = { 0 };
        struct registry_endpoint *e = NULL;
        size_t count = 0;

        assert(image_ref_parse(image, &ref, NULL) == 0);
        if (registries_endpoints(r, &ref, &e, &count, NULL) < 0)
                return;
        assert(count > 0);
        for (size_t i = 0; i < count; i++) {
                assert(e[i].url.text[strlen(e[i].url.text) - 1] != '/');
                assert(image_path_is_valid(e[i].repository));
        }
        registry_endpoints_free(e, count);
}

static void challenge(const char *text)
{
        _cleanup_auth_challenge_ struct auth_challenge c = { 0 };

        if (auth_challenge_parse(text, &c) < 0)
                return;
        assert(c.scheme != AUTH_BEARER || c.realm);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        _cleanup_registries_ struct registries r = { 0 };
        _cleanup_err_ struct err err = { 0 };
        _cleanup_free_ char *text = strndup((const char *)bytes, n), *token = NULL;
        json_auto_t *root = NULL;
        uint32_t expires;

        if (!text)
                return 0;
        challenge(text);
        if (auth_token_parse((const char *)bytes, n, &token, &expires, NULL) == 0)
                assert(*token && expires >= 60);
        if (yaml_parse((const char *)bytes, n, &root, NULL) < 0)
                return 0;
        if (registries_decode(root, &r, &err) < 0)
                return assert(err.message), 0;
        plan(&r, "busybox");
        plan(&r, "reg:5000/a/b");
        plan(&r, "localhost/x");
        return 0;
}
