/*
 * Shell completion, from the table of verbs. The names of pods and images are asked of skiffd when
 * TAB is pressed; nothing is said when it does not answer.
 */
#include <errno.h>
#include <string.h>

#include "cli/document.h"

static const char *const word_commands[] = {
        [WORD_NONE] = "",
        [WORD_POD] = "skiff pods -o name",
        [WORD_IMAGE] = "skiff images -o name",
        [WORD_SERVICE] = "skiff services -o name",
        [WORD_FILE] = "",
        [WORD_VERB] = "skiff completion verbs",
        [WORD_SHELL] = "echo bash zsh fish",
};

static bool takes(const struct verb *v, enum flag_id id)
{
        return ((v->flags | FLAGS_ALWAYS) & (UINT32_C(1) << id)) != 0;
}

/* What is offered behind a flag. */
static const char *value_command(enum flag_id id)
{
        switch (id) {
        case FLAG_OUTPUT:
                return "echo json yaml wide name";
        case FLAG_NAMESPACE:
                return "skiff pods -o name 2>/dev/null | cut -d/ -f1 | sort -u";
        default:
                return "";
        }
}

static size_t first_length(const char *name)
{
        return strcspn(name, " ");
}

/* The first words of verbs, each once. */
static void add_first_words(struct strbuf *b)
{
        for (const struct verb *v = verbs; v->name; v++) {
                size_t n = first_length(v->name);
                bool seen = false;

                for (const struct verb *e = verbs; e < v; e++)
                        seen |= first_length(e->name) == n && strncmp(e->name, v->name, n) == 0;
                if (!seen)
                        strbuf_addf(b, "%.*s ", (int)n, v->name);
        }
}

static void add_flags(struct strbuf *b, const struct verb *v)
{
        for (enum flag_id id = 0; id < _FLAG_MAX; id++) {
                if (!takes(v, id))
                        continue;
                strbuf_addf(b, "--%s ", flags[id].name);
                if (flags[id].letter)
                        strbuf_addf(b, "-%c ", flags[id].letter);
        }
}

static void add_second_words(struct strbuf *b, const char *first, size_t n)
{
        for (const struct verb *v = verbs; v->name; v++)
                if (first_length(v->name) == n && strncmp(v->name, first, n) == 0 &&
                    v->name[n] == ' ')
                        strbuf_addf(b, "%s ", v->name + n + 1);
}

/* Its letter is another verb's flag without value: what is behind it is no value there. */
static bool has_clashing_letter(enum flag_id id)
{
        for (enum flag_id other = 0; other < _FLAG_MAX; other++)
                if (other != id && flags[other].letter == flags[id].letter && !flags[other].value)
                        return true;
        return false;
}

/* A function that answers, for the words typed so far, with one candidate a line: bash and zsh
 * share it. */
static void add_candidates(struct strbuf *b)
{
        strbuf_add(b, "_skiff_candidates() {\n"
                      "        local previous=$1 first=$2 second=$3\n"
                      "        case $previous in\n");
        for (enum flag_id id = 0; id < _FLAG_MAX; id++) {
                if (!flags[id].value)
                        continue;
                strbuf_addf(b, "        --%s", flags[id].name);
                if (flags[id].letter && !has_clashing_letter(id))
                        strbuf_addf(b, "|-%c", flags[id].letter);
                strbuf_addf(b, ") %s; return ;;\n",
                            *value_command(id) ? value_command(id) : "true");
        }
        strbuf_add(b, "        esac\n        case $first in\n        '') echo ");
        add_first_words(b);
        strbuf_add(b, ";;\n");
        for (const struct verb *v = verbs; v->name; v++) {
                size_t n = first_length(v->name);

                if (v->name[n])
                        continue;
                strbuf_addf(b, "        %s) echo ", v->name);
                add_second_words(b, v->name, n);
                add_flags(b, v);
                strbuf_addf(b, "; %s ;;\n",
                            *word_commands[v->words] ? word_commands[v->words] : "true");
        }
        for (const struct verb *v = verbs; v->name; v++) {
                const char *first = v->name;
                size_t n = first_length(first);

                if (!first[n])
                        continue;
                strbuf_addf(b, "        %.*s)\n                case $second in\n", (int)n, v->name);
                strbuf_add(b, "                '') echo ");
                add_second_words(b, v->name, n);
                strbuf_add(b, ";;\n");
                for (; v->name && strncmp(v->name, first, n + 1) == 0; v++) {
                        strbuf_addf(b, "                %s) echo ", v->name + n + 1);
                        add_flags(b, v);
                        strbuf_addf(b, "; %s ;;\n",
                                    *word_commands[v->words] ? word_commands[v->words] : "true");
                }
                v--;
                strbuf_add(b, "                esac ;;\n");
        }
        strbuf_add(b, "        esac\n}\n");
}

static void add_bash(struct strbuf *b)
{
        strbuf_add(b, "# bash completion for skiff\n");
        add_candidates(b);
        strbuf_add(
                b,
                "_skiff() {\n"
                "        local word=${COMP_WORDS[COMP_CWORD]} first='' second='' i\n"
                "        for ((i = 1; i < COMP_CWORD; i++)); do\n"
                "                case ${COMP_WORDS[i]} in\n"
                "                -*) ;;\n"
                "                *) if [ -z \"$first\" ]; then first=${COMP_WORDS[i]}; elif [ -z \"$second\" ]; then second=${COMP_WORDS[i]}; fi ;;\n"
                "                esac\n"
                "        done\n"
                "        mapfile -t COMPREPLY < <(compgen -W \"$(_skiff_candidates \"${COMP_WORDS[COMP_CWORD - 1]}\" \"$first\" \"$second\" 2>/dev/null)\" -- \"$word\")\n"
                "}\n"
                "complete -o default -F _skiff skiff\n");
}

static void add_zsh(struct strbuf *b)
{
        strbuf_add(b, "#compdef skiff\n");
        add_candidates(b);
        strbuf_add(
                b,
                "_skiff() {\n"
                "        local first='' second='' w\n"
                "        for w in ${words[2,CURRENT-1]}; do\n"
                "                case $w in\n"
                "                -*) ;;\n"
                "                *) if [[ -z $first ]]; then first=$w; elif [[ -z $second ]]; then second=$w; fi ;;\n"
                "                esac\n"
                "        done\n"
                "        compadd -- ${(f)\"$(_skiff_candidates \"${words[CURRENT-1]}\" \"$first\" \"$second\" 2>/dev/null | tr -s ' ' '\\n')\"} || _files\n"
                "}\n"
                "compdef _skiff skiff\n");
}

/* fish's double quotes know '$', '"' and '\\' only, its single ones '\'' and '\\'. */
static void add_quoted(struct strbuf *b, const char *text)
{
        strbuf_add(b, "'");
        for (const char *p = text; *p; p++)
                strbuf_addf(b, "%s%c", *p == '\'' || *p == '\\' ? "\\" : "", *p);
        strbuf_add(b, "'");
}

static void add_fish_verb(struct strbuf *b, const struct verb *v)
{
        size_t n = first_length(v->name);
        _cleanup_free_ char *condition =
                v->name[n] ? text_printf("__fish_seen_subcommand_from %.*s; and "
                                         "__fish_seen_subcommand_from %s",
                                         (int)n, v->name, v->name + n + 1)
                           : text_printf("__fish_seen_subcommand_from %s", v->name);

        strbuf_add(b, "complete -c skiff -f -n ");
        if (v->name[n])
                strbuf_addf(b, "'__fish_seen_subcommand_from %.*s' -a %s -d ", (int)n, v->name,
                            v->name + n + 1);
        else
                strbuf_addf(b, "__fish_use_subcommand -a %s -d ", v->name);
        add_quoted(b, v->help);
        strbuf_add(b, "\n");
        for (enum flag_id id = 0; condition && id < _FLAG_MAX; id++) {
                if (!takes(v, id))
                        continue;
                strbuf_addf(b, "complete -c skiff -n '%s' -l %s", condition, flags[id].name);
                if (flags[id].letter)
                        strbuf_addf(b, " -s %c", flags[id].letter);
                if (id == FLAG_FILENAME)
                        strbuf_add(b, " -r -F");
                else if (flags[id].value)
                        strbuf_addf(b, " -x -a '(%s)'",
                                    *value_command(id) ? value_command(id) : "true");
                strbuf_add(b, " -d ");
                add_quoted(b, flags[id].help);
                strbuf_add(b, "\n");
        }
        if (condition && v->words == WORD_FILE)
                strbuf_addf(b, "complete -c skiff -F -n '%s'\n", condition);
        else if (condition && *word_commands[v->words])
                strbuf_addf(
                        b,
                        "complete -c skiff -f -n '%s' -a '(%s 2>/dev/null | string split \" \")'\n",
                        condition, word_commands[v->words]);
}

static void add_fish(struct strbuf *b)
{
        strbuf_add(b, "# fish completion for skiff\n");
        for (const struct verb *v = verbs; v->name; v++)
                add_fish_verb(b, v);
}

int document_completion(struct strbuf *b, const char *shell)
{
        static const struct {
                const char *name;
                void (*add)(struct strbuf *b);
        } shells[] = { { "bash", add_bash }, { "zsh", add_zsh }, { "fish", add_fish } };

        for (size_t i = 0; i < ARRAY_SIZE(shells); i++)
                if (streq(shells[i].name, shell)) {
                        shells[i].add(b);
                        return 0;
                }
        if (!streq(shell, "verbs"))
                return -EINVAL;
        for (const struct verb *v = verbs; v->name; v++)
                strbuf_addf(b, "%s\n", v->name);
        return 0;
}
