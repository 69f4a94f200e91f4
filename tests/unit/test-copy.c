/* What `skiff cp` and `skiff port-forward` decide: ends, ports, archives of strangers. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/tar-write.h"
#include "cli/copy.h"
#include "cli/forward.h"
#include "cli/upgrade.h"
#include "tests/check.h"
#include "tests/tar-builder.h"

/* ---- ends ---- */

static const char *end_of(const char *word)
{
        static char text[256];
        _cleanup_err_ struct err err = { 0 };
        struct copy_end e = { 0 };

        if (copy_end_parse(word, &e, &err) < 0)
                return "refused";
        snprintf(text, sizeof text, "%s %s%s", e.pod ? e.pod : "-", e.path,
                 e.ends_in_slash ? " /" : "");
        copy_end_done(&e);
        return text;
}

TEST(an_end_is_in_a_pod_or_here)
{
        CHECK_STR(end_of("web:/etc/passwd"), "web /etc/passwd");
        CHECK_STR(end_of("ns/web/side:tmp//x/./y/"), "ns/web/side tmp/x/y /");
        CHECK_STR(end_of("./a:b"), "- a:b");
        CHECK_STR(end_of("/a:b"), "- /a:b");
        CHECK_STR(end_of("."), "- .");
        CHECK_STR(end_of("web:/"), "web / /");
        CHECK_STR(end_of("web:"), "refused");
        CHECK_STR(end_of(":/x"), "refused");
        CHECK_STR(end_of(""), "refused");
}

static const char *split(const char *path)
{
        static char text[128];
        _cleanup_free_ char *folder = NULL, *name = NULL;

        CHECK_INT(copy_split(path, &folder, &name), 0);
        snprintf(text, sizeof text, "%s %s", folder, name);
        return text;
}

TEST(a_path_is_a_folder_and_a_name_in_it)
{
        CHECK_STR(split("/etc/passwd"), "/etc passwd");
        CHECK_STR(split("/etc"), "/ etc");
        CHECK_STR(split("x"), ". x");
        CHECK_STR(split("/"), "/ .");
        CHECK_STR(split("."), ". .");
}

/* ---- archives from a container ---- */

struct place {
        char path[64];
        int fd;
};

static void place_done(struct place *p)
{
        close(p->fd);
        *strrchr(p->path, '/') = '\0';
        fs_remove_tree_at(AT_FDCWD, p->path);
}

static void place_init(struct place *p)
{
        snprintf(p->path, sizeof p->path, "/tmp/test-copy-%d/in", (int)getpid());
        CHECK_INT(fs_mkdir_p_at(AT_FDCWD, p->path, 0700), 0);
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(p->fd >= 0);
}

/* In pieces of @step bytes. */
static int unpack(const struct place *p, const char *from, const char *to,
                  const struct strbuf *archive, size_t step, struct err *err)
{
        _cleanup_(copy_unpacker_freep)
        struct copy_unpacker *u = NULL;
        int r = copy_unpacker_new(p->fd, from, to, true, &u);

        for (size_t at = 0; r == 0 && at < archive->len; at += step)
                r = copy_unpack(u, archive->data + at, MIN(step, archive->len - at), err);
        return r < 0 ? r : copy_unpack_end(u, err);
}

static const char *text_at(const struct place *p, const char *path)
{
        static char text[64];
        _cleanup_free_ char *data = NULL;

        if (fs_read_at(p->fd, path, sizeof text - 1, &data, NULL) < 0)
                return "none";
        snprintf(text, sizeof text, "%s", data);
        return text;
}

TEST(an_archive_becomes_files_by_the_name_that_was_asked_for)
{
        _cleanup_strbuf_ struct strbuf a = { 0 };
        _cleanup_err_ struct err err = { 0 };
        struct place p;
        struct stat st;

        place_init(&p);
        TAR_ADD(&a, .name = "conf/", .type = '5', .mode = 0750);
        TAR_ADD(&a, .name = "./conf/a", .data = "one", .size = 3, .mode = 04755, .mtime = 1000);
        TAR_ADD(&a, .name = "conf/sub/b", .data = "two", .size = 3);
        TAR_ADD(&a, .name = "conf/again", .link = "conf/a", .type = '1');
        TAR_ADD(&a, .name = "conf/link", .link = "/etc/passwd", .type = '2');
        tar_end(&a);
        for (size_t step = 1; step < 2000; step += 333) {
                CHECK_INT(unpack(&p, "conf", "mine", &a, step, &err), 0);
                CHECK_STR(text_at(&p, "mine/a"), "one");
                CHECK_STR(text_at(&p, "mine/sub/b"), "two");
                CHECK_STR(text_at(&p, "mine/again"), "one");
        }
        CHECK_INT(fstatat(p.fd, "mine/a", &st, 0), 0);
        CHECK_INT(st.st_mode & 07777, 0755); /* and nothing beyond what a file may do */
        CHECK_INT(st.st_mtim.tv_sec, 1000);
        CHECK_INT(fstatat(p.fd, "mine", &st, 0), 0);
        CHECK_INT(st.st_mode & 07777, 0750);
        CHECK_INT(fstatat(p.fd, "mine/link", &st, AT_SYMLINK_NOFOLLOW), -1);
        CHECK_INT(unpack(&p, "conf", ".", &a, 512, &err), 0);
        CHECK_STR(text_at(&p, "sub/b"), "two");
        place_done(&p);
}

static int unpack_one(const struct place *p, const char *from, const char *name, struct err *err)
{
        _cleanup_strbuf_ struct strbuf a = { 0 };

        TAR_ADD(&a, .name = name, .data = "x", .size = 1);
        tar_end(&a);
        err_done(err);
        return unpack(p, from, "mine", &a, 4096, err);
}

TEST(nothing_lands_outside_of_what_was_asked_for)
{
        static const char *const bad[] = { "../x",    "conf/../../x", "/etc/x", "confx",
                                           "other/x", "./..",         "/" };
        _cleanup_err_ struct err err = { 0 };
        struct place p;

        place_init(&p);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                CHECK_INT(unpack_one(&p, "conf", bad[i], &err), -EINVAL);
                CHECK(strstr(err_text(&err), bad[i]));
        }
        CHECK_INT(unpack_one(&p, ".", "../x", &err), -EINVAL);
        CHECK_INT(fstatat(p.fd, "../x", &(struct stat){ 0 }, 0), -1);
        place_done(&p);
}

TEST(links_in_the_way_are_not_followed)
{
        _cleanup_err_ struct err err = { 0 };
        struct place p;

        place_init(&p);
        CHECK_INT(mkdirat(p.fd, "mine", 0700), 0);
        CHECK_INT(mkdirat(p.fd, "outside", 0700), 0);
        CHECK_INT(symlinkat("../outside", p.fd, "mine/sub"), 0);
        CHECK_INT(symlinkat("../outside/file", p.fd, "mine/file"), 0);
        CHECK(unpack_one(&p, "conf", "conf/sub/x", &err) < 0);
        CHECK(strstr(err_text(&err), "no link"));
        CHECK_INT(unpack_one(&p, "conf", "conf/file", &err), -ELOOP);
        CHECK_STR(text_at(&p, "outside/x"), "none");
        CHECK_STR(text_at(&p, "outside/file"), "none");
        place_done(&p);
}

TEST(a_hard_link_leads_to_a_file_of_the_archive)
{
        static const char *const bad[] = { "/etc/passwd", "conf/../../x", "conf/none", "conf" };
        _cleanup_err_ struct err err = { 0 };
        struct place p;

        place_init(&p);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_strbuf_ struct strbuf a = { 0 };

                TAR_ADD(&a, .name = "conf/x", .link = bad[i], .type = '1');
                tar_end(&a);
                err_done(&err);
                CHECK_INT(unpack(&p, "conf", "mine", &a, 4096, &err), -EINVAL);
        }
        place_done(&p);
}

TEST(an_archive_cut_short_is_an_error)
{
        _cleanup_strbuf_ struct strbuf a = { 0 };
        _cleanup_err_ struct err err = { 0 };
        struct place p;

        place_init(&p);
        TAR_ADD(&a, .name = "conf", .data = "one", .size = 3);
        for (size_t n = 1; n < a.len; n++) {
                struct strbuf cut = { .data = a.data, .len = n };

                err_done(&err);
                CHECK_INT(unpack(&p, "conf", "mine", &cut, 4096, &err), -EINVAL);
        }
        place_done(&p);
}

/* ---- archives of our own ---- */

/* What a reader sees of one entry. */
static void check_header(const struct tar_entry *e)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        _cleanup_err_ struct err err = { 0 };
        _cleanup_(tar_freep)
        struct tar *t = tar_new();
        const struct tar_entry *seen;
        size_t used = 0;

        tar_write_header(&b, e);
        CHECK(t && !b.failed);
        CHECK_INT(tar_next(t, b.data, b.len, &used, &err), TAR_ENTRY);
        seen = tar_entry(t);
        CHECK_INT(seen->type, e->type);
        CHECK_STR(seen->name, e->name);
        CHECK_STR(seen->link, e->link ? e->link : "");
        CHECK(seen->size == e->size);
        CHECK_INT(seen->mode, e->mode);
        CHECK(seen->uid == e->uid);
        CHECK_INT(seen->mtime.tv_sec, e->mtime.tv_sec);
}

TEST(what_is_written_can_be_read)
{
        char name[600], link[300];

        check_header(&(struct tar_entry){ .type = TAR_FILE, .name = "a", .size = 1, .mode = 0644 });
        check_header(&(struct tar_entry){ .type = TAR_DIRECTORY, .name = "a/b", .mode = 01777 });
        check_header(&(struct tar_entry){
                .type = TAR_FILE, .name = "big", .size = UINT64_C(20) << 30, .uid = 0x7ffffff0 });
        for (size_t n = 90; n < sizeof name; n += 7) {
                memset(name, 'n', n);
                for (size_t i = 50; i < n; i += 60)
                        name[i] = '/';
                name[n - 1] = 'x';
                name[n] = '\0';
                check_header(&(struct tar_entry){
                        .type = TAR_FILE, .name = name, .mtime.tv_sec = 1700000000 });
        }
        memset(name, 'n', 255);
        name[255] = '\0';
        memset(link, 'l', sizeof link - 1);
        link[sizeof link - 1] = '\0';
        check_header(&(struct tar_entry){ .type = TAR_SYMLINK, .name = name, .link = link });
}

TEST(a_folder_goes_there_and_back)
{
        _cleanup_strbuf_ struct strbuf a = { 0 };
        _cleanup_err_ struct err err = { 0 };
        _cleanup_free_ char *path = NULL, *data = NULL;
        _cleanup_close_ int file = -1;
        struct place p;
        size_t n;

        place_init(&p);
        path = text_printf("%s/src", p.path);
        CHECK_INT(fs_mkdir_p_at(p.fd, "src/sub", 0755), 0);
        CHECK_INT(fs_replace_at(p.fd, "src/sub/file", "text", 4, 0640, false), 0);
        CHECK_INT(symlinkat("file", p.fd, "src/sub/link"), 0);
        CHECK_INT(mkfifoat(p.fd, "src/pipe", 0600), 0);
        file = openat(p.fd, "archive", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        CHECK_INT(copy_pack(file, path, "called", &err), 0);
        CHECK_INT(fs_read_at(p.fd, "archive", 1 << 20, &data, &n), 0);
        strbuf_add_n(&a, data, n);
        CHECK(memmem(data, n, "called/sub/link", 15));
        CHECK_INT(unpack(&p, "called", "back", &a, 700, &err), 0);
        CHECK_STR(text_at(&p, "back/sub/file"), "text");
        CHECK(copy_pack(file, "/no/such", "x", &err) < 0);
        place_done(&p);
}

/* ---- ports, and the answer to an upgrade ---- */

static const char *port_of(const char *word)
{
        static char text[32];
        json_auto_t *pod = json_loads("{\"spec\":{\"containers\":[{\"ports\":[{\"name\":\"http\","
                                      "\"containerPort\":8080}]}]}}",
                                      0, NULL);
        _cleanup_err_ struct err err = { 0 };
        struct forward_port p;

        if (forward_port_parse(word, pod, &p, &err) < 0)
                return strstr(err_text(&err), word) ? "refused" : "refused without a name";
        snprintf(text, sizeof text, "%u %u", p.local, p.remote);
        return text;
}

TEST(ports_are_numbers_or_names_of_the_pods)
{
        CHECK_STR(port_of("80"), "80 80");
        CHECK_STR(port_of("8080:80"), "8080 80");
        CHECK_STR(port_of(":80"), "0 80");
        CHECK_STR(port_of("http"), "8080 8080");
        CHECK_STR(port_of("1:http"), "1 8080");
        CHECK_STR(port_of("0"), "refused");
        CHECK_STR(port_of("65536"), "refused");
        CHECK_STR(port_of("0:80"), "refused");
        CHECK_STR(port_of("x:80"), "refused");
        CHECK_STR(port_of("80:https"), "refused");
        CHECK_STR(port_of(""), "refused");
        CHECK_STR(port_of("1:2:3"), "refused");
}

TEST(an_upgrade_is_granted_or_refused_with_a_sentence)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        _cleanup_err_ struct err err = { 0 };
        size_t rest = 0;

        strbuf_add(&b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n");
        CHECK_INT(upgrade_answer(&b, false, &rest, &err), 0);
        CHECK_INT(upgrade_answer(&b, true, &rest, &err), -EPIPE);
        strbuf_add(&b, "\r\nhello");
        CHECK_INT(upgrade_answer(&b, false, &rest, &err), 1);
        CHECK_STR(b.data + rest, "hello");
        strbuf_done(&b);
        b = (struct strbuf){ 0 };
        strbuf_add(&b, "HTTP/1.1 409 Conflict\r\n\r\n{\"message\": \"no");
        CHECK_INT(upgrade_answer(&b, false, &rest, &err), 0);
        strbuf_add(&b, "body listens\"}");
        CHECK_INT(upgrade_answer(&b, true, &rest, &err), -EREMOTEIO);
        CHECK_STR(err_text(&err), "nobody listens");
}
