/*
 * A connection to skiffd that stops being HTTP: the request for an upgrade, and its answer.
 */
#pragma once
#include "base/err.h"
#include "base/text.h"

/* Connects to the socket at @path and asks (POST @target) for @protocol. The descriptor, which
 * blocks; negative errno. */
int upgrade_ask(const char *path, const char *target, const char *protocol, struct err *err);
/**
 * upgrade_answer() - what has come of the answer so far. Pure
 * @got:      its bytes
 * @ended:    no more will come
 * @ret_rest: where in @got the new protocol begins
 * Return: 1: it was granted; 0: more has to come; -EREMOTEIO with skiffd's sentence; -EPIPE when it
 * ended too early, or its head has no end.
 */
int upgrade_answer(const struct strbuf *got, bool ended, size_t *ret_rest, struct err *err);
