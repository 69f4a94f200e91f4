/* The first byte says as what the rest is read; what is accepted keeps its promises. */
#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "runtime/image-ref.h"
#include "runtime/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_manifest(const struct manifest *m)
{
        struct platform p = platform_here();
        const struct manifest_entry *e;

        assert(m->n_layers <= MANIFEST_LAYERS_MAX && m->n_entries <= MANIFEST_ENTRIES_MAX);
        assert(m->kind == MANIFEST_IMAGE ? m->entries == NULL : m->layers == NULL);
        if (m->kind == MANIFEST_IMAGE)
                assert(digest_is_valid(m->config_digest) && m->config_size <= MANIFEST_SIZE_MAX);
        for (size_t i = 0; i < m->n_layers; i++)
                assert(digest_is_valid(m->layers[i].digest));
        for (size_t i = 0; i < m->n_entries; i++)
                assert(digest_is_valid(m->entries[i].digest) && m->entries[i].size > 0);
        e = m->kind == MANIFEST_INDEX ? manifest_pick(m, &p, NULL) : NULL;
        assert(!e || (e >= m->entries && e < m->entries + m->n_entries));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        static const char *const types[] = {
                NULL,
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.index.v1+json",
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.distribution.manifest.list.v2+json",
        };
        _cleanup_manifest_ struct manifest m = { 0 };
        _cleanup_image_config_ struct image_config c = { 0 };
        _cleanup_err_ struct err err = { 0 };
        const char *text = (const char *)bytes + 1;

        if (n < 1)
                return 0;
        if (bytes[0] % 6 == 5) {
                if (image_config_parse(text, n - 1, &c, &err) < 0)
                        return assert(err.message), 0;
                assert(c.diff_ids && digest_is_valid(c.diff_ids[0]));
                STRV_FOREACH (e, c.env)
                        assert((*e)[0] != '=' && strchr(*e, '='));
                return 0;
        }
        if (manifest_parse(text, n - 1, types[bytes[0] % 6 % 5], NULL, &m, &err) < 0)
                return assert(err.message), 0;
        check_manifest(&m);
        return 0;
}
