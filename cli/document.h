/*
 * What is made from the table of verbs: help, man pages, shell completion. Pure.
 */
#pragma once
#include "base/text.h"
#include "cli/verbs.h"

/* `skiff --help`. */
void document_help(struct strbuf *b);
/* `skiff VERB --help`. */
void document_verb(struct strbuf *b, const struct verb *v);
/* Names of the man pages, without section: "skiff", "skiff-pods", "skiff-image-pull"; owned. */
char **document_pages(void);
/* A page in man(7), by its name. -ENOENT. */
int document_page(struct strbuf *b, const char *page);
/* @shell: "bash", "zsh" or "fish". -EINVAL. */
int document_completion(struct strbuf *b, const char *shell);
