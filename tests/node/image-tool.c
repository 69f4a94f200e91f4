/*
 * The image store by itself, for tests: reads commands from standard input, one JSON array a line,
 * and answers each with a line. Pulls and imports answer when they are done, everything else at
 * once; the first element of an answer is the command's number (from 0).
 *
 *   ["pull", REF, [[USER, PASSWORD, TOKEN], …]]   ["import", PATH, NAME]   ["remove", REF]
 *   ["list"]   ["layers", ID]   ["user", ID, USER]   ["groups", ID, UID]   ["hold", ID]
 *   ["release", ID]   ["usage"]   ["find", REF]
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/image-pull.h"
#include "runtime/image-store-internal.h"
#include "runtime/image-user.h"

static struct image_store *store;
static struct strbuf input;
static json_int_t n_commands, n_waiting;
static bool at_end;
static unsigned n_changes;

struct waiting {
        json_int_t number;
};

static void answer(json_int_t number, json_t *value)
{
        json_t *line = json_pack("[I, o]", number, value ? value : json_null());
        char *text = json_dumps(line, JSON_COMPACT);

        printf("%s\n", text);
        fflush(stdout);
        free(text);
        json_decref(line);
}

static json_t *failure(int r, const struct err *err)
{
        return json_pack("{s:i, s:i, s:s}", "error", r, "kind", (int)(err ? err->kind : 0),
                         "message", err_text(err));
}

static void check_end(void)
{
        if (at_end && n_waiting == 0)
                sd_event_exit(store->event, 0);
}

static void on_done(int r, const struct image_pull_result *result, const struct err *err,
                    void *userdata)
{
        struct waiting *w = userdata;

        answer(w->number, r < 0 ? failure(r, err)
                                : json_pack("{s:s, s:I, s:i}", "id", result->id, "size",
                                            (json_int_t)result->size, "auth", result->auth_index));
        free(w);
        n_waiting--;
        check_end();
}

static json_t *strv_json(char *const *v)
{
        json_t *a = json_array();

        STRV_FOREACH (s, v)
                json_array_append_new(a, json_string(*s));
        return a;
}

static json_t *info_json(const struct image_info *i)
{
        return json_pack("{s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:s*, s:s*, s:s*}", "id", i->id,
                         "tags", strv_json(i->repo_tags), "digests", strv_json(i->repo_digests),
                         "size", (json_int_t)i->size, "entrypoint", strv_json(i->entrypoint), "cmd",
                         strv_json(i->cmd), "env", strv_json(i->env), "user", i->user,
                         "working_dir", i->working_dir, "stop_signal", i->stop_signal);
}

static void start_long(json_int_t number, const char *verb, const json_t *command)
{
        struct image_auth auths[8] = { 0 };
        const json_t *list = json_array_get(command, 2), *e;
        const char *what = json_string_value(json_array_get(command, 1));
        _cleanup_err_ struct err err = { 0 };
        struct waiting *w = malloc(sizeof *w);
        struct runtime_op *op;
        size_t i;
        int r;

        w->number = number;
        if (streq(verb, "pull")) {
                json_array_foreach ((json_t *)list, i, e)
                        auths[i] = (struct image_auth){
                                json_string_value(json_array_get(e, 0)),
                                json_string_value(json_array_get(e, 1)),
                                json_string_value(json_array_get(e, 2)),
                        };
                r = image_store_pull(store, what, auths, json_array_size(list), on_done, w, &op,
                                     &err);
        } else {
                r = image_store_import(store, open(what, O_RDONLY | O_CLOEXEC),
                                       json_string_value(list), on_done, w, &op, &err);
        }
        if (r < 0) {
                answer(number, failure(r, &err));
                free(w);
                return;
        }
        n_waiting++;
}

static json_t *list_images(void)
{
        json_t *a = json_array();
        const char *id;
        struct image *i;

        MAP_FOREACH (id, i, store->images)
                json_array_append_new(a, info_json(&i->info));
        return a;
}

static json_t *groups_json(const uint32_t *groups, size_t n)
{
        json_t *a = json_array();

        for (size_t i = 0; i < n; i++)
                json_array_append_new(a, json_integer(groups[i]));
        return a;
}

static json_t *resolve(const char *id, const char *user)
{
        _cleanup_err_ struct err err = { 0 };
        struct image_user u = { 0 };
        int r = image_store_resolve_user(store, id, user, &u, &err);
        json_t *out = r < 0 ? failure(r, &err)
                            : json_pack("{s:I, s:I, s:o}", "uid", (json_int_t)u.uid, "gid",
                                        (json_int_t)u.gid, "groups",
                                        groups_json(u.groups, u.n_groups));

        free(u.groups);
        return out;
}

static json_t *groups_of(const char *id, uint32_t uid)
{
        _cleanup_err_ struct err err = { 0 };
        _cleanup_free_ uint32_t *groups = NULL;
        size_t n;
        int r = image_store_groups_of(store, id, uid, &groups, &n, &err);

        return r < 0 ? failure(r, &err) : groups_json(groups, n);
}

static json_t *layers_of(const char *id)
{
        _cleanup_err_ struct err err = { 0 };
        _cleanup_strv_ char **names = NULL;
        int fd, r = image_store_layers(store, id, &fd, &names, &err);

        return r < 0 ? failure(r, &err) : strv_json(names);
}

static json_t *run_quick(const char *verb, const char *what, const json_t *command)
{
        _cleanup_err_ struct err err = { 0 };
        int r = 0;

        if (streq(verb, "list"))
                return list_images();
        if (streq(verb, "layers"))
                return layers_of(what);
        if (streq(verb, "user"))
                return resolve(what, json_string_value(json_array_get(command, 2)));
        if (streq(verb, "groups"))
                return groups_of(what, (uint32_t)json_integer_value(json_array_get(command, 2)));
        if (streq(verb, "usage"))
                return json_pack("{s:I, s:i}", "used", (json_int_t)image_store_used_bytes(store),
                                 "changes", (int)n_changes);
        if (streq(verb, "find")) {
                struct image *i = image_store_find(store, what);

                return i ? info_json(&i->info) : json_null();
        }
        if (streq(verb, "remove"))
                r = image_store_remove(store, what, &err);
        else if (streq(verb, "hold"))
                r = image_store_hold(store, what);
        else if (streq(verb, "release"))
                image_store_release(store, what);
        else
                r = err_set(&err, -EINVAL, "no such command");
        return r < 0 ? failure(r, &err) : json_pack("{s:i}", "error", 0);
}

static void run(const char *line, size_t n)
{
        json_auto_t *command = NULL;
        json_int_t number = n_commands++;
        const char *verb, *what;

        if (json_parse(line, n, false, &command, NULL) < 0)
                return answer(number, json_string("not JSON"));
        verb = json_string_value(json_array_get(command, 0));
        what = json_string_value(json_array_get(command, 1));
        if (streq(verb, "pull") || streq(verb, "import"))
                start_long(number, verb, command);
        else
                answer(number, run_quick(verb, what, command));
}

static int on_input(sd_event_source *source, int fd, _unused_ uint32_t revents,
                    _unused_ void *userdata)
{
        char chunk[4096], *end;
        ssize_t n = read(fd, chunk, sizeof chunk);

        if (n <= 0) {
                sd_event_source_set_enabled(source, SD_EVENT_OFF);
                at_end = true;
                check_end();
                return 0;
        }
        strbuf_add_n(&input, chunk, (size_t)n);
        while ((end = memchr(input.data, '\n', input.len))) {
                size_t len = (size_t)(end - input.data);

                run(input.data, len);
                memmove(input.data, end + 1, input.len - len - 1);
                input.len -= len + 1;
        }
        return 0;
}

static void on_changed(_unused_ void *userdata)
{
        n_changes++;
}

int main(int argc, char **argv)
{
        struct runtime_options options = { 0 };
        _cleanup_err_ struct err err = { 0 };
        sd_event *event = NULL;
        uint32_t parallel = 0;

        if (argc < 4 || (argc > 4 && text_to_u32(argv[4], &parallel) < 0)) {
                fprintf(stderr, "usage: image-tool STATE_DIR LIBEXEC_DIR REGISTRIES [PARALLEL]\n");
                return 2;
        }
        options.state_dir = argv[1];
        options.libexec_dir = argv[2];
        options.registries_file = argv[3];
        options.max_parallel_pulls = parallel;
        log_open("image-tool", LOG_INFO);
        signal(SIGPIPE, SIG_IGN);
        if (sd_event_default(&event) < 0 ||
            image_store_new(event, &options, on_changed, NULL, &store, &err) < 0) {
                fprintf(stderr, "%s\n", err_text(&err));
                return 1;
        }
        if (fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) < 0 ||
            sd_event_add_io(event, NULL, STDIN_FILENO, EPOLLIN, on_input, NULL) < 0)
                return 1;
        sd_event_loop(event);
        image_store_free(store);
        strbuf_done(&input);
        sd_event_unref(event);
        return 0;
}
