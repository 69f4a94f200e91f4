/* What parses is printed and parsed again: the normal form of a normal form is itself. */
#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "runtime/image-ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        _cleanup_image_ref_ struct image_ref ref = { 0 }, again = { 0 };
        _cleanup_free_ char *text = strndup((const char *)bytes, n), *normal = NULL, *twice = NULL;

        if (!text || image_ref_parse(text, &ref, NULL) < 0)
                return 0;
        assert(!ref.tag != !ref.digest);
        assert(!ref.digest || digest_is_valid(ref.digest));
        assert(!strstr(ref.path, "..") && !strstr(ref.path, "//") && ref.path[0] != '/');
        normal = image_ref_format(&ref);
        assert(normal && image_ref_parse(normal, &again, NULL) == 0);
        twice = image_ref_format(&again);
        assert(twice && streq(normal, twice));
        return 0;
}
