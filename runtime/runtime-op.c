#include "runtime/runtime-internal.h"

struct runtime_op *runtime_op_abandon(struct runtime_op *op)
{
        if (!op || op->abandoned)
                return NULL;
        op->abandoned = true;
        if (op->on_abandon)
                op->on_abandon(op);
        return NULL;
}
