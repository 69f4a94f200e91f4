/*
 * Decode tables over jansson: a foreign object becomes our struct once, at the edge.
 *
 * A table lists the fields a struct wants; a decoder turns one json_t into one member. Unknown
 * fields pass, null counts as absent, defaults are whatever the struct was initialised with, and an
 * error names the whole path: "spec: containers[1]: ports[0]: containerPort: expected 1 to 65535".
 * What a decoder allocated before the failing field stays in the struct: its destructor frees it.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

enum { JSON_OPTIONAL = 0, JSON_REQUIRED = 1 };

struct json_field;
/*
 * @value:  borrowed, never NULL or JSON null
 * @member: address of the member in the target struct
 * @arg:    the table's .arg
 * Return: 0 or a negative errno with @err set to "expected …" (the walker adds the path).
 */
typedef int (*json_decode_fn)(const json_t *value, void *member, const void *arg, struct err *err);

struct json_field {
        const char *name; /* NULL ends the table */
        json_decode_fn decode;
        size_t offset;
        int flags;       /* JSON_OPTIONAL or JSON_REQUIRED */
        const void *arg; /* for the decoder: a nested table, a struct json_array, limits */
};

/* Decodes an object. -EINVAL and a path in @err. */
int json_decode(const json_t *object, const struct json_field *fields, void *target,
                struct err *err);

/* An array of structs: pointer and count live side by side in the target. */
struct json_array {
        const struct json_field *fields; /* of one element; or NULL and .decode is used */
        json_decode_fn decode;           /* of one element as a whole (strings, numbers) */
        const void *decode_arg;
        size_t element_size;
        ptrdiff_t count_offset;      /* of the size_t count, relative to the pointer member */
        size_t max;                  /* elements; 0: 4096 */
        void (*init)(void *element); /* defaults of a fresh (zeroed) element, or NULL */
};
#define JSON_ARRAY_COUNT(type, pointer, count) \
        ((ptrdiff_t)offsetof(type, count) - (ptrdiff_t)offsetof(type, pointer))

/* Decoders. The member's C type stands behind each. */
int decode_string(const json_t *, void *, const void *, struct err *);   /* char *, owned */
int decode_bool(const json_t *, void *, const void *, struct err *);     /* bool */
int decode_tristate(const json_t *, void *, const void *, struct err *); /* int: -1 unset, 0, 1 */
int decode_i64(const json_t *, void *, const void *,
               struct err *); /* int64_t; arg: struct json_range */
int decode_i32(const json_t *, void *, const void *,
               struct err *); /* int32_t; arg: struct json_range */
int decode_u32(const json_t *, void *, const void *,
               struct err *); /* uint32_t; arg: struct json_range */
int decode_port(const json_t *, void *, const void *, struct err *);     /* uint16_t, 1 to 65535 */
int decode_time(const json_t *, void *, const void *, struct err *);     /* usec_t, RFC 3339 */
int decode_duration(const json_t *, void *, const void *, struct err *); /* usec_t, "1m30s" or ns */
int decode_enum(const json_t *, void *, const void *,
                struct err *); /* int; arg: const char *const [] */
int decode_strv(const json_t *, void *, const void *, struct err *); /* char **, owned */
int decode_string_map(const json_t *, void *, const void *,
                      struct err *); /* struct string_map, owned */
int decode_object(const json_t *, void *, const void *,
                  struct err *); /* struct by value; arg: table */
int decode_object_pointer(const json_t *, void *, const void *,
                          struct err *); /* struct *, calloc'd; arg: struct json_object_pointer */
int decode_array(const json_t *, void *, const void *,
                 struct err *); /* T *; arg: struct json_array */
int decode_json(const json_t *, void *, const void *, struct err *); /* json_t *, own reference */

struct json_range {
        int64_t min, max;
};
struct json_object_pointer {
        const struct json_field *fields;
        size_t size;
        void (*init)(void *);
};

/* Labels, annotations, ConfigMap data: sorted by key. */
struct string_map {
        struct string_map_entry {
                char *key, *value; /* owned */
        } * entries;               /* owned */
        size_t n;
};
void string_map_done(struct string_map *m);
const char *string_map_get(const struct string_map *m, const char *key);
json_t *string_map_to_json(const struct string_map *m); /* new reference; NULL without memory */
int string_map_copy(struct string_map *dst, const struct string_map *src);

/*
 * Text to tree, with the limits that hostile input needs: NUL in strings allowed (JSON_ALLOW_NUL)
 * and duplicate keys refused when @strict; JSON_DEPTH_MAX. Error: line, column, reason.
 */
enum { JSON_DEPTH_MAX = 64 }; /* of YAML too */
int json_parse(const char *text, size_t n, bool strict, json_t **ret, struct err *err);
/* Path of lookups; NULL when any is absent. Borrowed. For tests and one-off reads. */
const json_t *json_path(const json_t *root, ...) __attribute__((sentinel));
const char *json_text_at(const json_t *object, const char *key); /* string or NULL; borrowed */
/* Sets @key to a new reference, dropping it when NULL; for building: returns 0 or -ENOMEM. */
int json_set(json_t *object, const char *key, json_t *value);
/* json_set of a string unless @value is NULL. */
int json_set_text(json_t *object, const char *key, const char *value);

enum { JSON_REAL_TEXT_MAX = 32 };
/* The shortest text that reads back as @v, whatever the locale. Returns buf. */
const char *json_real_format(double v, char buf[static JSON_REAL_TEXT_MAX]);
