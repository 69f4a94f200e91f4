/*
 * `skiff [FLAG]... VERB [FLAG|WORD]...` taken apart by the table of verbs. Pure.
 */
#pragma once
#include "cli/verbs.h"

struct command_line {
        const struct verb *verb; /* NULL: none was named */
        struct invocation in;    /* words, namespace, format and the flags' values; borrowed */
        char **words;            /* owned; what in.words points at */
        bool help, version;      /* asked for instead */
};
/* Frees what it owns. */
void command_line_done(struct command_line *c);
/**
 * command_line_parse() - words to a verb and its flags
 * @argv: without the program's name
 * Flags may stand before and behind words, up to "--". Those that belong to one verb only stand
 * behind it.
 * Return: 0; -EINVAL with what is wrong and where help is; -ENOMEM. @ret is to be freed in any
 * case.
 */
int command_line_parse(int argc, char *const argv[], struct command_line *ret, struct err *err);
