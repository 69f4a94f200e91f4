/* Other images mounted into a container: merged, read-only, without programs, a part or the whole.
 */
#include <errno.h>

#include "base/text.h"
#include "tests/kernel/runtime-rig.h"

static char sandbox[RUNTIME_ID_SIZE];

static void begin(void)
{
        struct rig_answer a;

        rig_up();
        a = rig_run_sandbox(NULL);
        if (a.r < 0)
                fail_msg("sandbox: %s", a.text);
        memcpy(sandbox, a.id, sizeof sandbox);
}

static void mount_image(struct oci_spec *s, const char *destination, const char *source)
{
        CHECK_INT(oci_spec_add_mount(s, destination, OCI_MOUNT_IMAGE, source,
                                     "ro,nosuid,nodev,noexec"),
                  0);
}

/* What @script prints with an image at /i. */
static const char *output_with(const char *source, const char *script)
{
        struct oci_spec spec;
        const char *id;

        rig_make_spec(&spec, script);
        mount_image(&spec, "/i", source);
        id = rig_begin(sandbox, &spec);
        rig_wait_exit(id);
        return rig_log_of(id);
}

TEST(an_image_of_several_layers_is_seen_merged)
{
        begin();
        CHECK_STR(output_with("sha256:data", "ls /i; cat /i/dir/file; cat /i/dir/more"),
                  "dir\nout\ntool\nbasetop\n");
        rig_down();
}

TEST(an_image_of_one_layer_is_that_layer)
{
        begin();
        CHECK_STR(output_with("sha256:base", "ls /i; cat /i/dir/file"), "dir\ngone\nout\nbase\n");
        rig_down();
}

TEST(a_part_of_an_image_is_found_within_it)
{
        static const char *const images[] = { "sha256:data", "sha256:base" };

        begin();
        CHECK_STR(output_with("sha256:data/dir", "ls /i"), "file\nmore\n");
        for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
                _cleanup_free_ char *file = text_printf("%s/dir/file", images[i]),
                                    *link = text_printf("%s/out/../out/file", images[i]),
                                    *up = text_printf("%s/../../dir/./file", images[i]);

                CHECK_STR(output_with(file, "cat /i"), "base\n");
                CHECK_STR(output_with(link, "cat /i"), "base\n"); /* the link is the image's own */
                CHECK_STR(output_with(up, "cat /i"), "base\n");
        }
        rig_down();
}

TEST(nothing_of_an_image_can_be_written_or_run)
{
        static const char *const sources[] = { "sha256:data", "sha256:data/", "sha256:base" };

        begin();
        for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
                CHECK_STR(output_with(sources[i],
                                      "touch /i/x 2>/dev/null || echo read-only\n"
                                      "rm /i/dir/file 2>/dev/null || echo still read-only\n"
                                      "/i/tool 2>/dev/null || echo no programs\n"
                                      "grep -c ' /i [a-z]* ro,nosuid,nodev,noexec' /proc/mounts"),
                          "read-only\nstill read-only\nno programs\n1\n");
        CHECK_STR(output_with("sha256:data/tool", "/i 2>/dev/null || echo no program"),
                  "no program\n");
        rig_down();
}

TEST(what_an_image_lacks_fails_the_create_and_leaves_nothing)
{
        static const struct {
                const char *source;
                int r;
                enum err_kind kind;
                const char *said;
        } cases[] = {
                { "sha256:data/gone", -ENOENT, ERR_IMAGE_MOUNT,
                  "find in the mounted image 'gone': No such file or directory" },
                { "sha256:data/dir/file/x", -ENOTDIR, ERR_IMAGE_MOUNT, "'dir/file/x'" },
                { "sha256:nothing", -ENOENT, ERR_IMAGE_NOT_PRESENT,
                  "image 'sha256:nothing' is not here" },
        };

        begin();
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct oci_spec spec;
                struct rig_answer a;

                rig_make_spec(&spec, "true");
                mount_image(&spec, "/i", cases[i].source);
                a = rig_create(sandbox, &spec);
                CHECK_INT(a.r, cases[i].r);
                CHECK_INT(a.kind, cases[i].kind);
                CHECK_CONTAINS(a.text, cases[i].said);
        }
        rig_down(); /* looks that no image is held */
}

TEST(mounted_images_stay_held_over_a_restart)
{
        struct oci_spec spec;
        const char *id;

        begin();
        rig_make_spec(&spec, "while [ ! -e /go ]; do usleep 20000; done; cat /i/dir/file /j");
        mount_image(&spec, "/i", "sha256:data");
        mount_image(&spec, "/j", "sha256:data/dir/more");
        id = rig_begin(sandbox, &spec);
        CHECK_INT(rig_image_holds("sha256:data"), 1);
        rig_restart();
        CHECK_INT(rig_image_holds("sha256:data"), 1);
        CHECK_INT(rig_image_holds(rig_image_id), 1);
        CHECK_INT(container_kill(rig, id, 9, NULL), 0);
        rig_wait_exit(id);
        CHECK_INT(container_remove(rig, id, NULL), 0);
        CHECK_INT(rig_image_holds("sha256:data"), 0);
        rig_down();
}
