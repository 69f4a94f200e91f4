/*
 * A launch plan as the shim sees it: every record checked once against the rules of its type, the
 * single ones at hand, the repeated ones walked by type. Whoever holds a view need not check again.
 * Pure; strings and structs point into the plan's bytes.
 */
#pragma once
#include "runtime/launch-plan.h"

struct plan_view {
        struct plan_reader start; /* before the first record */
        const char *id;
        /* a container's, or what an exec has of its own; NULL: not in the plan */
        const struct plan_container *container;
        const char *cwd, *layer_dir, *upper_dir, *root_path, *apparmor, *log_path;
        const struct plan_log *log;
        const uint32_t *groups; /* of the last PLAN_GROUP record */
        size_t n_groups;
        /* a sandbox's */
        const struct plan_sandbox *sandbox;
        const char *hostname;
        const struct plan_link *link;
        unsigned count[_PLAN_TYPE_MAX]; /* records of each type */
};

/**
 * plan_view_open() - checks the whole plan
 * @why: on failure, the rule that was broken; static
 * Return: 0; -EBADMSG when it is no plan of this version or breaks a rule.
 */
int plan_view_open(struct plan_view *v, const void *data, size_t len, const char **why);
/* What each kind of plan must have on top. */
int plan_view_check_sandbox(const struct plan_view *v, const char **why);
int plan_view_check_container(const struct plan_view *v, const char **why);
int plan_view_check_exec(const struct plan_view *v, const char **why);

/* The next record of @type behind *r (begin with v->start). false: no more. */
bool plan_view_next(struct plan_reader *r, enum plan_type type, struct plan_record *ret);
#define PLAN_FOREACH(view, type, record)                 \
        for (struct plan_reader _reader = (view)->start; \
             plan_view_next(&_reader, (type), &(record));)

/* The strings behind the struct of a record of these types. */
struct plan_mount_view {
        const struct plan_mount *mount;
        const char *source, *destination, *data;
};
struct plan_mount_view plan_view_mount(const struct plan_record *r);
const char *plan_view_device_path(const struct plan_record *r);
const char *plan_view_namespace(const struct plan_record *r, uint32_t *ret_flag);
/* Name and value of a PLAN_SYSCTL. */
const char *plan_view_sysctl(const struct plan_record *r, const char **ret_value);
/* The n-th record of the plan, for naming it in a message; false: there is none. */
bool plan_view_at(const struct plan_view *v, unsigned index, struct plan_record *ret);
/* Where a record stands among all of its plan. */
unsigned plan_view_index(const struct plan_view *v, const struct plan_record *r);
