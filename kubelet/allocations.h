/*
 * What each pod was granted of cpu and memory, on disk: <root-dir>/pods/<uid>/allocation.json, so
 * that a resize that was refused stays refused over a restart. It goes with the pod's folder.
 */
#pragma once
#include "kubelet/context.h"

/* Nothing is written for a pod that asks for nothing. Trouble is logged. */
void allocation_save(const struct context *ctx, const struct pod *pod);
/*
 * @desired with what it was granted before; itself when nothing is recorded of it, or nothing else.
 * One reference; a damaged record is logged and passed over.
 */
struct pod *allocation_restore(const struct context *ctx, struct pod *desired);
