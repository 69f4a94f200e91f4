#include "runtime/cgroup-systemd.h"

#include "tests/check.h"

static void check(const char *path, const char *name, const char *whole)
{
        char *n = cgroup_systemd_slice_name(path), *w = cgroup_systemd_slice_path(path);

        CHECK_STR(n, name);
        CHECK_STR(w, whole);
        free(n);
        free(w);
}

TEST(groups_are_named_as_the_kubelet_names_slices)
{
        check("kubepods", "kubepods.slice", "kubepods.slice");
        check("kubepods/pod1234-ab-cd", "kubepods-pod1234_ab_cd.slice",
              "kubepods.slice/kubepods-pod1234_ab_cd.slice");
        check("/kubepods/burstable/pod12-3/", "kubepods-burstable-pod12_3.slice",
              "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_3.slice");
        check("node-1/kubepods", "node_1-kubepods.slice", "node_1.slice/node_1-kubepods.slice");
}
