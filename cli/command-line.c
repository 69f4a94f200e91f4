#include "cli/command-line.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

const struct verb *verb_find(const char *name)
{
        for (const struct verb *v = verbs; v->name; v++)
                if (streq(v->name, name))
                        return v;
        return NULL;
}

void command_line_done(struct command_line *c)
{
        strv_free(c->words);
        *c = (struct command_line){ 0 };
}

struct parser {
        struct command_line *out;
        int argc, at;
        char *const *argv;
        bool plain; /* after "--": words only */
};

static uint32_t allowed(const struct parser *p)
{
        return p->out->verb ? p->out->verb->flags | FLAGS_ALWAYS : FLAGS_BEFORE;
}

static const char *verb_name(const struct parser *p)
{
        return p->out->verb ? p->out->verb->name : "";
}

static int refuse(const struct parser *p, const char *flag, const char *rule, struct err *err)
{
        return err_set(err, -EINVAL, "option '%s': %s, see 'skiff %s%s--help'", flag, rule,
                       verb_name(p), p->out->verb ? " " : "");
}

static int set_flag(struct parser *p, enum flag_id id, const char *value, struct err *err)
{
        struct command_line *c = p->out;

        c->in.values[id] = value;
        c->help |= id == FLAG_HELP;
        c->version |= id == FLAG_VERSION;
        if (id == FLAG_NAMESPACE)
                c->in.namespace = value;
        if (id == FLAG_OUTPUT && output_format_parse(value, &c->in.format) < 0)
                return err_set(err, -EINVAL, "--output: '%s': expected json, yaml, wide or name",
                               value);
        return 0;
}

/* The value of a flag that takes one: the rest of its word, or the next word. */
static int take_value(struct parser *p, enum flag_id id, const char *word, const char *rest,
                      struct err *err)
{
        if (!rest && p->at >= p->argc)
                return refuse(p, word, "expected a value behind it", err);
        return set_flag(p, id, rest ? rest : p->argv[p->at++], err);
}

/* --name, --name=value, and a unique beginning of a name. */
static int take_long(struct parser *p, const char *word, struct err *err)
{
        const char *name = word + 2, *equals = strchr(name, '=');
        size_t n = equals ? (size_t)(equals - name) : strlen(name), matches = 0;
        enum flag_id found = _FLAG_MAX;

        for (enum flag_id id = 0; id < _FLAG_MAX; id++) {
                if (!(allowed(p) & (UINT32_C(1) << id)) || strncmp(flags[id].name, name, n) != 0)
                        continue;
                found = id;
                if (strlen(flags[id].name) == n) {
                        matches = 1;
                        break;
                }
                matches++;
        }
        if (matches != 1 || n == 0)
                return refuse(p, word, matches > 1 ? "ambiguous" : "unknown here", err);
        if (flags[found].value)
                return take_value(p, found, word, equals ? equals + 1 : NULL, err);
        if (equals)
                return refuse(p, word, "it takes no value", err);
        return set_flag(p, found, "", err);
}

static enum flag_id flag_of_letter(const struct parser *p, char letter)
{
        for (enum flag_id id = 0; id < _FLAG_MAX; id++)
                if (flags[id].letter == letter && (allowed(p) & (UINT32_C(1) << id)))
                        return id;
        return _FLAG_MAX;
}

/* -n NS, -nNS, -it */
static int take_letters(struct parser *p, const char *word, struct err *err)
{
        for (const char *l = word + 1; *l; l++) {
                enum flag_id id = flag_of_letter(p, *l);
                int r;

                if (id == _FLAG_MAX)
                        return refuse(p, word, "unknown here", err);
                if (flags[id].value)
                        return take_value(p, id, word, l[1] ? l + 1 : NULL, err);
                r = set_flag(p, id, "", err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* "image" and "pull" are one verb together. */
static int take_verb(struct parser *p, const char *word, struct err *err)
{
        const char *next = p->at < p->argc ? p->argv[p->at] : "";
        _cleanup_free_ char *both = text_printf("%s %s", word, next);

        if (!both)
                return -ENOMEM;
        p->out->verb = verb_find(both);
        if (p->out->verb) {
                p->at++;
                return 0;
        }
        p->out->verb = verb_find(word);
        if (p->out->verb)
                return 0;
        for (const struct verb *v = verbs; v->name; v++)
                if (startswith(v->name, word) && v->name[strlen(word)] == ' ')
                        return err_set(err, -EINVAL,
                                       "'%s' is followed by another word, see 'skiff --help'",
                                       word);
        return err_set(err, -EINVAL, "unknown verb '%s', see 'skiff --help'", word);
}

/* Flags before the verb that it does not know. */
static int check_early_flags(const struct parser *p, struct err *err)
{
        for (enum flag_id id = 0; id < _FLAG_MAX; id++)
                if (p->out->in.values[id] && id != FLAG_VERSION &&
                    !(allowed(p) & (UINT32_C(1) << id)))
                        return err_set(err, -EINVAL,
                                       "option '--%s': unknown here, see 'skiff %s --help'",
                                       flags[id].name, verb_name(p));
        return 0;
}

static int check_words(const struct command_line *c, struct err *err)
{
        const struct verb *v = c->verb;

        if (v && c->in.format == OUTPUT_SVG && !v->has_svg)
                return err_set(err, -EINVAL, "--output: 'svg': expected json, yaml, wide or name");
        if (!v || c->help || (c->in.n_words >= v->min_words && c->in.n_words <= v->max_words))
                return 0;
        return err_set(err, -EINVAL, "usage: skiff %s%s%s", v->name, *v->arguments ? " " : "",
                       v->arguments);
}

static int take(struct parser *p, struct err *err)
{
        const char *word = p->argv[p->at++];
        int r;

        if (p->plain || word[0] != '-' || !word[1]) {
                if (p->out->verb || p->plain)
                        return strv_append(&p->out->words, word);
                r = take_verb(p, word, err);
                return r < 0 ? r : check_early_flags(p, err);
        }
        if (streq(word, "--")) {
                p->plain = true;
                return 0;
        }
        return word[1] == '-' ? take_long(p, word, err) : take_letters(p, word, err);
}

int command_line_parse(int argc, char *const argv[], struct command_line *ret, struct err *err)
{
        struct parser p = { .out = ret, .argc = argc, .argv = argv };

        *ret = (struct command_line){ .in.format = OUTPUT_TABLE };
        while (p.at < argc) {
                int r = take(&p, err);

                if (r < 0)
                        return r == -ENOMEM ? err_sys(err, r, "read the command line") : r;
        }
        if (!ret->verb && ret->words)
                return err_set(err, -EINVAL, "expected a verb before '--', see 'skiff --help'");
        ret->in.words = ret->words;
        ret->in.n_words = strv_len(ret->words);
        return check_words(ret, err);
}
