#include "kubelet/local-plan.h"

#include <errno.h>

#include "base/text.h"
#include "kubelet/pod-plan.h"

enum { OBJECTS_MAX = 500 };

struct question {
        const struct context *ctx;
        const json_t *body;
        json_t *items;
};

static bool find_image(const char *image, struct plan_image *ret, void *userdata)
{
        const struct context *ctx = userdata;
        const struct image_info *found = image_find(ctx->rt, image);

        if (found)
                *ret = (struct plan_image){ .id = found->id, .size = found->size };
        return found != NULL;
}

static bool is_list(const json_t *o)
{
        const char *kind = json_text_at(o, "kind");

        return json_is_array(json_object_get(o, "items")) && (!kind || endswith(kind, "List"));
}

static int add(struct plan *plan, json_t *items, const json_t *object)
{
        json_t *o = json_is_object(object) ? plan_object(plan, object)
                                           : json_pack("{s:s, s:s}", "outcome", "invalid",
                                                       "message", "expected an object");

        return o && json_array_append_new(items, o) == 0 ? 0 : -ENOMEM;
}

static int answer(const struct admission_node *node, const struct pod *const *active, size_t n,
                  void *userdata)
{
        const struct question *q = userdata;
        const struct plan_options options = { .node = node,
                                              .active = active,
                                              .n_active = n,
                                              .find_image = find_image,
                                              .userdata = (void *)q->ctx };
        _cleanup_(plan_freep)
        struct plan *plan = NULL;
        const json_t *object;
        size_t i;
        int r = plan_new(&options, &plan);

        if (r < 0 || !is_list(q->body))
                return r < 0 ? r : add(plan, q->items, q->body);
        json_array_foreach (json_object_get(q->body, "items"), i, object)
                if (r == 0)
                        r = add(plan, q->items, object);
        return r;
}

void local_plan_serve(const struct context *ctx, const struct pod_manager *pods,
                      struct http_exchange *x, const json_t *body)
{
        json_auto_t *items = json_array();
        struct question q = { .ctx = ctx, .body = body, .items = items };

        if (is_list(body) && json_array_size(json_object_get(body, "items")) > OBJECTS_MAX)
                return local_api_fail(x, 400, "items: expected at most 500 objects");
        if (!items || pod_manager_foresee(pods, answer, &q) < 0)
                return local_api_fail(x, 500, "out of memory");
        http_answer_json(x, 200, json_pack("{s:s, s:O}", "node", ctx->node_name, "items", items));
}
